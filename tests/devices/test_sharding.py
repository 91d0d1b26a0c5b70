import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec
from problems import ONE_DRAW, drawn_params, tiny_batch, tiny_problem, tiny_process, tiny_tiles
from programs import needs_libtpu

from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.data.input_pipeline import train_batches
from noise2map_jax.devices import sharding
from noise2map_jax.devices.execution import Execution
from noise2map_jax.errors import UserError
from noise2map_jax.method.augment import Augmentation
from noise2map_jax.steps.data_parallel import data_parallel
from noise2map_jax.steps.eval_step import eval_step
from noise2map_jax.steps.train_state import create_train_state, initial_share
from noise2map_jax.steps.train_step import train_step

MESHES = [
    pytest.param(8, id="fsdp=8", marks=pytest.mark.long),
    pytest.param(4, id="data=2 x fsdp=4"),
]


@pytest.fixture
def all_sharded(monkeypatch):
    """Split arrays however small they are."""
    monkeypatch.setattr(sharding, "LEAST_SHARDED", 0)


def mesh_of(num, fsdp=1):
    return sharding.create_mesh(fsdp, jax.devices()[:num])


def ten_steps(mesh, **options):
    problem, tx = tiny_problem("cd", augmentation=Augmentation(crop_size=8)), optax.adam(1e-3)
    execution = Execution(mesh)
    step = functools.partial(
        train_step,
        problems={"cd": problem},
        tx=tx,
        spread=functools.partial(data_parallel, mesh=mesh, dtype=jnp.float32),
        **options,
    )
    params = drawn_params(problem.model, 8)
    step, init = execution.jit(
        step, lambda key: create_train_state(params, tx, use_ema=True, keep_initial=True)
    )
    key, process = execution.keys([3]), sharding.replicate(tiny_process("cd"), mesh)
    state = init(key)
    losses = []
    for i in range(10):
        batch = sharding.shard_batch(tiny_batch("cd", num=16, seed=i), mesh)
        state, metrics = step(state, {"cd": batch}, {"cd": process}, key)
        losses.append(float(metrics["loss"]))
    return losses, state


def ten_losses(mesh, **options):
    return ten_steps(mesh, **options)[0]


@pytest.fixture(scope="module")
def losses_of_one():
    return ten_losses(mesh_of(1))


def test_eight_devices_and_one_give_the_same_losses(losses_of_one):
    np.testing.assert_allclose(ten_losses(mesh_of(8)), losses_of_one, rtol=1e-5)


@pytest.mark.parametrize("fsdp", MESHES)
def test_split_parameters_give_the_same_losses(fsdp, all_sharded, losses_of_one):
    losses, state = ten_steps(mesh_of(8, fsdp), num_microbatches=2, ema_decay=0.9)
    np.testing.assert_allclose(losses, losses_of_one, rtol=1e-5)
    moments = state.opt_state[0].mu, state.opt_state[0].nu
    for tree in (state.params, state.ema_params, *moments, state.initial.params):
        whole = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))
        assert held < 1.3 * whole / fsdp  # a few have no dimension that can be divided
    # The step passes the initial parameters on, and mixes them with the averages where these lie.
    share = sharding.replicate(initial_share(state.params, 0.25), mesh_of(8, fsdp))
    before, trained = jax.device_get((state.initial.params, state.ema_params))
    with jax.transfer_guard("disallow"):
        mixed = state.replace(initial=state.initial.replace(share=share)).eval_params
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)
    jax.tree.map(lambda m, a, b: compare(m, 0.75 * a + 0.25 * b), mixed, trained, before)
    assert not all(jax.tree.leaves(jax.tree.map(np.allclose, before, trained)))


@pytest.mark.parametrize(
    ("shape", "fsdp", "expected"),
    [
        ((3, 3, 128, 256), 8, PartitionSpec(None, None, None, "fsdp")),
        ((3, 3, 512, 256), 8, PartitionSpec(None, None, "fsdp")),
        ((3, 3, 250, 128), 8, PartitionSpec(None, None, None, "fsdp")),
        ((3, 3, 130, 250), 8, PartitionSpec()),
        ((2**14,), 8, PartitionSpec("fsdp")),
        ((2**14 - 8,), 8, PartitionSpec()),
        ((3, 3, 128, 256), 1, PartitionSpec()),
        ((), 8, PartitionSpec()),
    ],
)
def test_the_largest_dimension_that_divides_is_split(shape, fsdp, expected):
    assert sharding.parameter_spec(shape, fsdp) == expected


@pytest.mark.parametrize("fsdp", [3, 16, 0])
def test_devices_that_cannot_share_are_refused_with_both_numbers(fsdp):
    with pytest.raises(UserError, match=rf"fsdp is {fsdp}, .* 8 devices"):
        sharding.create_mesh(fsdp)


def test_arrays_move_between_ways_of_being_split(all_sharded):
    mesh = mesh_of(8, 4)
    tree = {"a": jnp.arange(64.0).reshape(4, 16), "b": jnp.float32(2)}
    split = sharding.move(tree, sharding.parameter_sharding(tree, mesh))
    assert split["a"].addressable_shards[0].data.shape == (4, 4)
    back = sharding.move(split, jax.tree.map(lambda _: sharding.replicated(mesh), tree))
    assert back["a"].addressable_shards[0].data.shape == (4, 16)
    np.testing.assert_array_equal(back["a"], tree["a"])
    again = sharding.move(back, jax.tree.map(lambda x: x.sharding, back))
    assert again is back


def test_eight_devices_and_one_count_the_same():
    problem = tiny_problem()
    params, process = drawn_params(problem.model), tiny_process()
    batch = tiny_tiles(num=16) | {"valid": np.arange(16) < 13}
    counts = []
    for num in (1, 8):
        mesh = mesh_of(num)
        rep = sharding.replicated(mesh)
        step = jax.jit(
            functools.partial(eval_step, problem=problem),
            in_shardings=(rep, sharding.batch_sharding(mesh), rep, rep),
            out_shardings=rep,
        )
        args = sharding.replicate((params, process, ONE_DRAW), mesh)
        out = step(args[0], sharding.shard_batch(batch, mesh), *args[1:])
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


def test_each_row_lies_where_its_process_is_told_to_read_it():
    order = [5, 0, 3, 6, 1, 7, 2, 4]  # as wires on a board might run
    mesh = sharding.create_mesh(devices=[jax.devices()[i] for i in order])
    array = sharding.shard_batch({"x": np.arange(16)}, mesh)["x"]
    np.testing.assert_array_equal(array, np.arange(16))
    np.testing.assert_array_equal(sharding.process_rows(mesh, 16, 0), np.arange(16))
    assert sharding.process_rows(mesh, 16, 1).size == 0


@needs_libtpu
@pytest.mark.parametrize(
    ("name", "num_slices", "fsdp"),
    [("v5e:4x4", 1, 1), ("v5e:4x4", 2, 2), ("v4:2x2x4", 1, 1), ("v5p:2x2x4", 1, 2)],
)
def test_a_slice_reads_the_batches_that_one_device_reads(name, num_slices, fsdp):
    mesh = sharding.create_mesh(fsdp, topology_devices(name, num_slices))
    batch_size = 2 * mesh.size
    indices = sharding.batch_sharding(mesh).devices_indices_map((batch_size,))
    processes = sorted({device.process_index for device in indices})
    assert len(processes) > 1

    def batch(rows):
        records = [{"x": np.int32(i)} for i in range(5 * batch_size)]
        options = dict(seed=3, batch_size=batch_size, first_step=2, num_threads=1)
        return next(train_batches(records, ("x",), rows=rows, **options))["x"]

    whole, by_process = batch(range(batch_size)), []
    for process in processes:
        rows = sharding.process_rows(mesh, batch_size, process)
        own = [index[0] for device, index in indices.items() if device.process_index == process]
        on_devices = sorted(row for part in own for row in range(batch_size)[part])
        assert rows.tolist() == on_devices
        np.testing.assert_array_equal(batch(rows.tolist()), whole[rows])
        by_process += rows.tolist()
    assert sorted(by_process) == list(range(batch_size))
    assert by_process != sorted(by_process)  # else this slice would show nothing


@pytest.mark.parametrize(("size", "parts"), [(12, 1), (0, 1), (24, 2), (8, 0)])
def test_batches_that_do_not_divide_are_refused_with_both_numbers(size, parts):
    with pytest.raises(UserError, match=rf"batch of {size} .*8 devices x {parts}"):
        sharding.check_batch_size(size, 8, num_microbatches=parts)
    assert sharding.check_batch_size(32, 8, num_microbatches=2) == 4
