"""Several networks in one call of a step: the same numbers, and nothing between the devices."""

import functools
import re

import jax
import numpy as np
import optax
import pytest
from problems import drawn_params, tiny_batch, tiny_problem, tiny_process

from noise2map_jax.devices.execution import KINDS, create_execution, possible_kinds
from noise2map_jax.devices.sharding import replicated
from noise2map_jax.errors import UserError
from noise2map_jax.method import schedules
from noise2map_jax.method.noise import create_noise_process
from noise2map_jax.steps.train_state import create_train_state
from noise2map_jax.steps.train_step import train_step

COLLECTIVES = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")
PROBLEM, TX = tiny_problem("cd"), optax.adam(1e-3)
PROCESSES = [
    tiny_process("cd"),
    create_noise_process(schedules.squaredcos_cap_v2(1000), swap=1.0),
    create_noise_process(schedules.sigmoid(1000), image=1.0),
]


@functools.cache
def jitted(kind, num_members):
    """An execution, and its step and init."""
    execution = create_execution(kind, num_members)
    step = functools.partial(train_step, problems={"cd": PROBLEM}, tx=TX)

    drawn = drawn_params(PROBLEM.model)

    def init(key):
        # Of each seed its own; drawn one by one as a network's are, they compile for long.
        shift = 0.01 * jax.random.normal(key)
        params = jax.tree.map(lambda leaf: leaf + shift, drawn)
        return create_train_state(params, TX, use_ema=True)

    return execution, *execution.jit(step, init)


@functools.cache
def compiled(kind, num_members):
    """The step, compiled once for all tests of as many networks."""
    step = jitted(kind, num_members)[1]
    chosen = [i % len(PROCESSES) for i in range(num_members)]
    return step.lower(*arguments(kind, num_members, chosen)).compile()


def arguments(kind, num_members, chosen):
    """State, batches, processes and keys of networks that differ in process and seed."""
    execution, _, init = jitted(kind, num_members)
    keys = execution.keys(chosen)
    batches = execution.put_batches([{"cd": tiny_batch("cd", seed=i)} for i in chosen])
    everywhere = replicated(execution.mesh)
    processes = [{"cd": jax.device_put(PROCESSES[i], everywhere)} for i in chosen]
    return init(keys), batches, execution.stack(processes), keys


def losses(kind, chosen, num_steps=5):
    """Losses [num_steps, networks]."""
    step = compiled(kind, len(chosen))
    state, batches, processes, keys = arguments(kind, len(chosen), chosen)
    found = []
    for _ in range(num_steps):
        state, metrics = step(state, batches, processes, keys)
        found.append(np.atleast_1d(metrics["loss"])[: len(chosen)])
    return np.array(found)


@pytest.fixture(scope="module")
def alone():
    return np.concatenate([losses("dispatch", [i]) for i in range(3)], axis=1)


@pytest.mark.parametrize("kind", ["vmap", "devices"])
def test_networks_side_by_side_learn_as_each_alone(kind, alone):
    assert np.ptp(alone, axis=1).min() > 1e-3  # they are three different networks
    np.testing.assert_allclose(losses(kind, [0, 1, 2]), alone, rtol=1e-5)


def test_a_place_left_over_changes_nothing(alone):
    execution = create_execution("vmap", 8 + 1)  # two a device, on eight devices
    assert execution.num_members == 16
    np.testing.assert_allclose(losses("vmap", [0, 1, 2] * 3)[:, :3], alone, rtol=1e-5)


@pytest.mark.parametrize("kind", ["vmap", pytest.param("devices", marks=pytest.mark.long)])
def test_eight_devices_share_networks_without_a_word(kind):
    number = 9 if kind == "vmap" else 8
    execution, _, _ = jitted(kind, number)
    text = compiled(kind, number).as_text()
    assert execution.mesh.size == 8
    assert not COLLECTIVES.findall(text)


def test_one_network_over_eight_devices_does_talk():
    text = compiled("dispatch", 1).as_text()
    assert COLLECTIVES.findall(text)


def test_a_network_is_taken_out_of_the_stack_as_it_was_put_in():
    execution = create_execution("devices", 3)
    trees = [{"a": np.full(4, i, np.float32)} for i in range(3)]
    stacked = execution.stack(trees)
    assert stacked["a"].shape == (3, 4)
    for i, tree in enumerate(trees):
        np.testing.assert_array_equal(execution.member(stacked, i)["a"], tree["a"])


def test_keys_are_those_of_the_seeds():
    seeds = [0, 7, 2**32 - 1]
    keys = create_execution("devices", 3).keys(seeds)
    for i, seed in enumerate(seeds):
        one = create_execution("dispatch", 1).keys([seed])
        assert jax.random.key_data(one).tolist() == jax.random.key_data(keys[i]).tolist()
        assert (
            jax.random.key_data(one).tolist() == jax.random.key_data(jax.random.key(seed)).tolist()
        )


@pytest.mark.parametrize(
    ("batch_size", "num_microbatches", "num_networks", "kinds"),
    [
        (16, 1, 1, ["dispatch"]),
        (16, 2, 4, ["dispatch", "devices"]),
        (16, 1, 9, ["dispatch", "devices", "vmap"]),
        (12, 1, 9, ["devices", "vmap"]),  # 12 rows are not for 8 devices
        (16, 4, 1, ["devices"]),
    ],
)
def test_kinds_that_the_batch_does_not_allow_are_left_out(
    batch_size, num_microbatches, num_networks, kinds
):
    assert possible_kinds(batch_size, num_microbatches, num_networks) == kinds


def test_an_unknown_kind_is_named():
    with pytest.raises(UserError, match=f"unknown execution 'fast'; expected one of {KINDS[0]}"):
        create_execution("fast", 2)
