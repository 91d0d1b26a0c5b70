"""Statistics as PyTorch's, whatever the number of devices."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import Golden
from jax.sharding import Mesh, PartitionSpec

from noise2map_jax.errors import UserError
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.training import Training


def training(rows, **fields):
    return Training(jax.random.split(jax.random.key(0), rows), **fields)


def in_training(x, variables, **fields):
    return BatchNorm().apply(variables, x, training(len(x), **fields), mutable=["batch_stats"])


@pytest.fixture
def golden():
    return Golden("primitives")


@pytest.fixture
def variables(golden):
    stats = {"mean": golden["batch_norm_running_mean"], "var": golden["batch_norm_running_var"]}
    params = {"scale": golden["batch_norm_weight"], "bias": golden["batch_norm_bias"]}
    return {"params": params, "batch_stats": stats}


def test_a_training_step_as_in_torch(golden, variables):
    y, changed = in_training(golden["x"], variables)
    np.testing.assert_allclose(y, golden["batch_norm_train"], atol=1e-5)
    stats = changed["batch_stats"]
    np.testing.assert_allclose(stats["mean"], golden["batch_norm_new_running_mean"], rtol=1e-6)
    np.testing.assert_allclose(stats["var"], golden["batch_norm_new_running_var"], rtol=1e-6)
    y = BatchNorm().apply(variables | changed, golden["x"])
    np.testing.assert_allclose(y, golden["batch_norm_eval_after"], atol=1e-5)


def test_a_training_step_by_its_definition():
    x = np.random.default_rng(0).normal(3, 2, (2, 3, 2, 5)).astype(np.float32)
    variables = BatchNorm().init(jax.random.key(0), x)
    y, changed = in_training(x, variables)
    pixels = x.reshape(-1, 5).astype(np.float64)
    deviation = np.sqrt(pixels.var(0) + 1e-5)  # biased
    np.testing.assert_allclose(y.reshape(-1, 5), (pixels - pixels.mean(0)) / deviation, atol=1e-5)
    stats = changed["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * pixels.var(0, ddof=1), rtol=1e-5)


def test_the_gradient_is_that_of_torch():
    torch = pytest.importorskip("torch", reason="needs torch (the extra 'parity')")
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    variables = BatchNorm().init(jax.random.key(0), x)
    gradient = jax.grad(lambda x: (in_training(x, variables)[0] * weights).sum())(x)

    layer = torch.nn.BatchNorm2d(6)
    images = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    (layer(images) * torch.tensor(weights.transpose(0, 3, 1, 2))).sum().backward()
    np.testing.assert_allclose(gradient, images.grad.numpy().transpose(0, 2, 3, 1), atol=1e-5)
    stats = in_training(x, variables)[1]["batch_stats"]
    np.testing.assert_allclose(stats["mean"], layer.running_mean.numpy(), atol=1e-6)
    np.testing.assert_allclose(stats["var"], layer.running_var.numpy(), atol=1e-6)


def test_a_large_mean_does_not_hide_a_small_deviation():
    x = 1000 + np.random.default_rng(2).normal(size=(4, 8, 8, 2)).astype(np.float32)
    y, _ = in_training(x, BatchNorm().init(jax.random.key(0), x))
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-3)


def test_several_batches_are_as_several_calls(golden, variables):
    first, second = golden["x"], golden["x"][::-1] * 2 + 1
    y, once = in_training(np.concatenate([first, second]), variables, num_batches=2)
    parts, changed = [], variables
    for x in (first, second):
        part, stats = in_training(x, changed)
        parts.append(part)
        changed = variables | stats
    np.testing.assert_allclose(y, np.concatenate(parts), atol=1e-5)
    for name in ("mean", "var"):
        ours, expected = once["batch_stats"][name], changed["batch_stats"][name]
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_frozen_statistics_are_constants(golden, variables):
    x = golden["x"]
    frozen = training(len(x), frozen_statistics=True)
    y = BatchNorm().apply(variables, x, frozen)  # nothing is mutable
    np.testing.assert_array_equal(y, BatchNorm().apply(variables, x))


def test_statistics_are_float32_in_a_network_of_bfloat16(golden, variables):
    y, changed = in_training(golden["x"].astype(jnp.bfloat16), variables)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(changed)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(y.astype(np.float32), golden["batch_norm_train"], atol=0.05)


def test_one_value_has_no_variance():
    x = np.ones((1, 1, 1, 3), np.float32)
    variables = BatchNorm(name="pool").init(jax.random.key(0), x)
    message = "the batch has 1 value for each channel; take a larger train.batch_size"
    with pytest.raises(UserError, match=re.escape(message)):
        in_training(x, variables)
    with pytest.raises(UserError, match=re.escape(message)):  # two batches of one value
        in_training(x.repeat(2, 0), variables, num_batches=2)
    BatchNorm().apply(variables, x, training(1, frozen_statistics=True))


def test_eight_devices_give_the_numbers_of_one():
    rng = np.random.default_rng(3)
    x, weights = rng.normal(2, 3, (2, 16, 3, 2, 4)).astype(np.float32)
    variables = BatchNorm().init(jax.random.key(0), x)
    params = {"scale": np.arange(1.0, 5, dtype=np.float32), "bias": np.ones(4, np.float32)}

    def step(x, weights, params, row_keys, *, axes):
        def loss(params, x):
            context = Training(row_keys, axes=axes)
            both = {"params": params, "batch_stats": variables["batch_stats"]}
            y, changed = BatchNorm().apply(both, x, context, mutable=["batch_stats"])
            return (y * weights).sum(), (y, changed["batch_stats"])

        (of_params, of_x), (y, stats) = jax.grad(loss, (0, 1), has_aux=True)(params, x)
        return y, of_x, stats, jax.lax.psum(of_params, axes) if axes else of_params

    keys = jax.random.split(jax.random.key(0), 16)
    one = jax.jit(functools.partial(step, axes=()))(x, weights, params, keys)
    axes = ("data", "fsdp")
    rows, everywhere = PartitionSpec(axes), PartitionSpec()
    eight = jax.jit(
        jax.shard_map(
            functools.partial(step, axes=axes),
            mesh=Mesh(np.array(jax.devices()[:8]).reshape(4, 2), axes),
            in_specs=(rows, rows, everywhere, rows),
            out_specs=(rows, rows, everywhere, everywhere),
            check_vma=False,
        )
    )(x, weights, params, keys)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5), one, eight)
