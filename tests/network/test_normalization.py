import functools
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads
from programs import CUDA_COMPILE, ROOT, environment, needs_cuda_compile, needs_libtpu

from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.cost.traffic import memory_traffic
from noise2map_jax.network.normalization import group_norm

NHWC = ("NHWC", "HWIO", "NHWC")


def plain(x, scale, bias, num_groups, epsilon, silu):
    """The definition, in as many passes as it takes."""
    groups = x.reshape(*x.shape[:3], num_groups, -1)
    mean = groups.mean((1, 2, 4), keepdims=True)
    variance = jnp.square(groups - mean).mean((1, 2, 4), keepdims=True)
    y = ((groups - mean) / jnp.sqrt(variance + epsilon)).reshape(x.shape)
    y = y * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)
    return y * jax.nn.sigmoid(y) if silu else y


def arrays(seed, shape=(2, 5, 4, 12), mean=0.0):
    rng = np.random.default_rng(seed)
    drawn = (rng.standard_normal(size) for size in (shape, shape[-1:], shape[-1:], shape))
    x, scale, bias, weight = (jnp.asarray(values, jnp.float32) for values in drawn)
    return x + mean, scale, bias, weight


@functools.partial(jax.jit, static_argnums=(4, 5))
def ours(x, scale, bias, weight, num_groups, silu):
    """Value and gradients of a weighted sum."""

    def total(x, scale, bias):
        return jnp.sum(
            weight * group_norm(x, scale, bias, (x,), num_groups, 1e-5, silu, jnp.float32)
        )

    return jax.value_and_grad(total, (0, 1, 2))(x, scale, bias)


@functools.partial(jax.jit, static_argnums=(4, 5))
def expected(x, scale, bias, weight, num_groups, silu):
    """The same by the definition."""

    def total(x, scale, bias):
        return jnp.sum(weight * plain(x, scale, bias, num_groups, 1e-5, silu))

    return jax.value_and_grad(total, (0, 1, 2))(x, scale, bias)


def both(x, scale, bias, weight, num_groups, silu):
    """Ours, and the definition in float64: in float32 it is off by more than ours."""
    exact = [np.asarray(values, np.float64) for values in (x, scale, bias, weight)]
    with jax.enable_x64(True):
        value, gradients = jax.tree.map(np.asarray, expected(*exact, num_groups, silu))
    assert value.dtype == np.float64
    return ours(x, scale, bias, weight, num_groups, silu), (value, gradients)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 99), st.sampled_from([1, 2, 3, 12]), st.booleans(), st.sampled_from([0.0, 30.0])
)
def test_values_and_gradients_are_those_of_the_definition(seed, num_groups, silu, mean):
    (found, gradients), (value, others) = both(*arrays(seed, mean=mean), num_groups, silu)
    np.testing.assert_allclose(found, value, rtol=1e-4, atol=2e-4)
    for gradient, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-3, atol=3e-4)


@pytest.mark.parametrize("silu", [False, True])
def test_gradients_are_those_of_differences(silu):
    with jax.enable_x64(False):
        x, scale, bias, _ = arrays(0, (1, 2, 2, 4))

        def call(x, scale, bias):
            return group_norm(x, scale, bias, (x,), 2, 1e-2, silu, jnp.float32)

        check_grads(call, (x, scale, bias), order=1, modes=["rev"], atol=2e-2, rtol=2e-2, eps=1e-2)


def test_in_bfloat16_only_the_input_is_kept_as_large_as_it_is():
    x, scale, bias, _ = arrays(0, (2, 64, 64, 32))
    x = x.astype(jnp.bfloat16)
    y, backward = jax.vjp(
        lambda x, s, b: group_norm(x, s, b, (x,), 8, 1e-6, True, jnp.bfloat16), x, scale, bias
    )
    assert y.dtype == jnp.bfloat16
    kept = [leaf for leaf in jax.tree.leaves(backward) if hasattr(leaf, "nbytes")]
    assert sum(leaf.nbytes for leaf in kept) < 1.02 * x.nbytes
    dx, dscale, _ = backward(y)
    _, plain_backward = jax.vjp(
        lambda x: plain(x, scale, bias, 8, 1e-6, True), x.astype(jnp.float32)
    )
    (exact_dx,) = plain_backward(y.astype(jnp.float32))
    error = jnp.linalg.norm(dx.astype(jnp.float32) - exact_dx) / jnp.linalg.norm(exact_dx)
    assert error < 2**-7
    assert dx.dtype == jnp.bfloat16
    assert dscale.dtype == jnp.float32
    # Statistics are float32: the error is that of rounding input and output.
    exact = plain(x.astype(jnp.float32), scale, bias, 8, 1e-6, True)
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("mean", [0.0, 3.0, 100.0])
def test_in_bfloat16_a_large_mean_costs_no_more_than_rounding_the_image_did(mean):
    x, scale, bias, _ = arrays(0, (1, 256, 256, 4), mean=mean)
    x = x.astype(jnp.bfloat16)
    y = group_norm(x, scale, bias, (x,), 4, 1e-6, False, jnp.float32)
    rounded = np.asarray(x, np.float64)
    exact = (rounded - rounded.mean((1, 2))) / rounded.std((1, 2))
    exact = exact * np.asarray(scale) + np.asarray(bias)
    np.testing.assert_allclose(y, exact, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("value", [0.0, 3.3, -1000.7])
def test_an_image_of_one_value_becomes_the_bias(dtype, value):
    x = jnp.full((1, 24, 24, 4), value, dtype)
    y = group_norm(x, jnp.ones(4), jnp.arange(4.0), (x,), 2, 1e-6, False, jnp.float32)
    # A mean that is rounded by one part in 10 million, over the square root of epsilon.
    error = 1e-2 + abs(value) * 2e-7 * 1e3
    np.testing.assert_allclose(y, jnp.broadcast_to(jnp.arange(4.0), y.shape), atol=error)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_statistics_of_parts_are_those_of_the_whole(dtype):
    x, scale, bias, weight = arrays(3)
    x = (x + jnp.arange(12.0).reshape(1, 1, 1, -1)).astype(dtype)

    def loss(x, scale, bias, cuts):
        parts = tuple(jnp.split(x, cuts, axis=-1))
        y = group_norm(x, scale, bias, parts, 3, 1e-5, True, jnp.float32)
        return jnp.sum(weight * y)

    gradients = jax.jit(jax.value_and_grad(loss, (0, 1, 2)), static_argnums=3)
    whole = gradients(x, scale, bias, ())
    for cuts in ((4,), (5,), (1, 7)):
        parts = gradients(x, scale, bias, cuts)
        for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(a.astype(jnp.float32), b.astype(jnp.float32), rtol=1e-5)


@pytest.mark.parametrize("cuts", [(4, 5), (11,)])
def test_parts_that_do_not_make_up_the_image_are_refused(cuts):
    x, scale, bias, _ = arrays(3)
    parts = jnp.split(x, cuts, axis=-1)
    for some in (parts[1:], parts[:-1], [*parts[:-1], parts[-1][:, :2]]):
        with pytest.raises(ValueError, match=r"do not make up \(2, 5, 4, 12\)"):
            group_norm(x, scale, bias, tuple(some), 3, 1e-5, True, jnp.float32)


@needs_libtpu
@pytest.mark.usefixtures("effort")
def test_on_a_tpu_statistics_of_a_concatenation_cost_no_pass():
    shape = (8, 256, 256, 128)
    place = jax.sharding.SingleDeviceSharding(topology_devices("v5e:2x2")[0])

    def traffic(by_part):
        def normalised(images, kernels, scale):
            parts = tuple(
                lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=NHWC)
                for kernel in kernels
            )
            x = jnp.concatenate(parts, -1)
            given = parts if by_part else (x,)
            y = group_norm(x, scale, scale, given, 32, 1e-6, True, jnp.bfloat16)
            return parts, lax.conv_general_dilated(
                y, jnp.concatenate(kernels, 2), (1, 1), "SAME", dimension_numbers=NHWC
            )

        images = jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=place)
        kernel = jax.ShapeDtypeStruct((3, 3, 128, 128), jnp.bfloat16, sharding=place)
        scale = jax.ShapeDtypeStruct((256,), jnp.float32, sharding=place)
        compiled = jax.jit(normalised).lower(images, [kernel] * 2, scale).compile()
        return memory_traffic(parse(compiled.as_text()))

    image = math.prod(shape) * 2
    assert traffic(by_part=False) - traffic(by_part=True) > 1.9 * image


@needs_libtpu
@pytest.mark.usefixtures("effort")
def test_on_a_tpu_no_activation_is_held_in_float32():
    shape = (8, 64, 64, 128)

    def loss(params, x):
        for kernel, scale, bias in params:
            x = group_norm(x, scale, bias, (x,), 32, 1e-6, True, jnp.bfloat16)
            x = lax.conv_general_dilated(
                x, kernel.astype(x.dtype), (1, 1), "SAME", dimension_numbers=NHWC
            )
        return jnp.sum(x.astype(jnp.float32))

    place = jax.sharding.SingleDeviceSharding(topology_devices("v5e:2x2")[0])
    vector = jax.ShapeDtypeStruct((128,), jnp.float32, sharding=place)
    kernel = jax.ShapeDtypeStruct((3, 3, 128, 128), jnp.float32, sharding=place)
    x = jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=place)
    params = [(kernel, vector, vector)] * 2
    text = jax.jit(jax.grad(loss)).lower(params, x).compile().as_text()
    program = text[text.index("\nENTRY") :]
    assert program.count("bf16[8,64,64,128]") > 5
    assert "f32[8,64,64,128]" not in program


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_several_networks_are_normalised_at_once(dtype):
    x, scale, bias, _ = arrays(1)
    x = x.astype(dtype)
    stacked = [jnp.stack([a, 2 * a]) for a in (x, scale, bias)]

    def loss(x, scale, bias):
        return jnp.sum(group_norm(x, scale, bias, (x,), 3, 1e-5, True, jnp.float32) ** 2)

    gradients = jax.grad(loss, (0, 1, 2))
    together = jax.jit(jax.vmap(gradients))(*stacked)
    alone = jax.jit(gradients)(2 * x, 2 * scale, 2 * bias)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            a[1].astype(jnp.float32), b.astype(jnp.float32), rtol=1e-4, atol=1e-5
        )


OF_A_GPU = """
import jax, jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.cost.traffic import memory_traffic
from noise2map_jax.network.normalization import group_norm

def gradients(x, scale, bias, gradient):
    call = lambda *a: group_norm(*a, (x,), 32, 1e-6, True, jnp.bfloat16)
    return jax.vjp(call, x, scale, bias)[1](gradient)

here = SingleDeviceSharding(topology_devices("h100:1")[0])
image = jax.ShapeDtypeStruct((8, 256, 256, 128), jnp.bfloat16, sharding=here)
channels = jax.ShapeDtypeStruct((128,), jnp.float32, sharding=here)
compiled = jax.jit(gradients).lower(image, channels, channels, image).compile()
print(memory_traffic(parse(compiled.as_text())) / (image.size * 2))
"""


@needs_cuda_compile
def test_a_gpu_keeps_nothing_in_float32_for_the_gradient(cache):
    """It reads x once for the statistics; twice x and the gradient; and it writes one gradient.

    With the gradient before SiLU kept in float32, it would be twelve images instead of six.
    """
    done = subprocess.run(
        [sys.executable, "-c", OF_A_GPU],
        env=environment(cache, packages=[CUDA_COMPILE]),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 6 <= float(done.stdout.splitlines()[-1]) < 7
