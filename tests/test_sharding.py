import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from problems import jitted_params, tiny_batch, tiny_problem, tiny_process

from noise2map_jax import sharding
from noise2map_jax.augment import Augmentation
from noise2map_jax.errors import UserError
from noise2map_jax.eval_step import eval_step
from noise2map_jax.step import train_step
from noise2map_jax.train_state import create_train_state


def mesh_of(num):
    devices = np.array(jax.devices()[:num])
    return jax.sharding.Mesh(devices, ("data",), axis_types=(AxisType.Auto,))


def ten_losses(mesh, **options):
    problem, tx = tiny_problem("cd", augmentation=Augmentation(crop_size=8)), optax.adam(1e-3)
    rep, rows = sharding.replicated(mesh), sharding.batch_sharding(mesh)
    step = jax.jit(
        functools.partial(train_step, problems={"cd": problem}, tx=tx, **options),
        in_shardings=(rep, rows, rep, rep),
        out_shardings=(rep, rep),
    )
    state = create_train_state(jitted_params(problem.model), tx, use_ema=True)
    state, process = sharding.replicate((state, tiny_process("cd")), mesh)
    key = jax.device_put(jax.random.key(3), rep)
    losses = []
    for i in range(10):
        batch = sharding.shard_batch(tiny_batch("cd", num=16, seed=i), mesh)
        state, metrics = step(state, {"cd": batch}, {"cd": process}, key)
        losses.append(float(metrics["loss"]))
    return losses


def test_eight_devices_and_one_give_the_same_losses():
    one = ten_losses(mesh_of(1))
    np.testing.assert_allclose(ten_losses(mesh_of(8)), one, rtol=1e-5)
    accumulated = ten_losses(mesh_of(8), num_microbatches=2, ema_decay=0.9)
    np.testing.assert_allclose(accumulated, one, rtol=1e-5)


def test_eight_devices_and_one_count_the_same():
    problem = tiny_problem()
    params, process = jitted_params(problem.model), tiny_process()
    batch = tiny_batch(num=16) | {"valid": np.arange(16) < 13}
    counts = []
    for num in (1, 8):
        mesh = mesh_of(num)
        rep = sharding.replicated(mesh)
        step = jax.jit(
            functools.partial(eval_step, problem=problem),
            in_shardings=(rep, sharding.batch_sharding(mesh), rep),
            out_shardings=rep,
        )
        args = sharding.replicate((params, process), mesh)
        out = step(args[0], sharding.shard_batch(batch, mesh), args[1])
        counts.append(np.asarray(out["confusion"]))
    np.testing.assert_array_equal(counts[0], counts[1])
    assert np.all(counts[0][13:] == 0)


def test_the_mesh_holds_every_device():
    mesh = sharding.create_mesh()
    assert mesh.size == 8
    array = sharding.shard_batch({"x": np.arange(16)}, mesh)["x"]
    assert [s.data.tolist() for s in array.addressable_shards] == [
        [i, i + 1] for i in range(0, 16, 2)
    ]
    whole = sharding.replicate(jnp.arange(4), mesh)
    assert all(s.data.shape == (4,) for s in whole.addressable_shards)


@pytest.mark.parametrize(("size", "parts"), [(12, 1), (0, 1), (24, 2), (8, 0)])
def test_batches_that_do_not_divide_are_refused_with_both_numbers(size, parts):
    with pytest.raises(UserError, match=rf"batch of {size} .*8 devices x {parts}"):
        sharding.check_batch_size(size, 8, num_microbatches=parts)
    assert sharding.check_batch_size(32, 8, num_microbatches=2) == 4
