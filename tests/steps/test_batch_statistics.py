"""Batch normalisation and dropout in the training step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import tiny_batch, tiny_process
from small_rival import ADAM, small_problem, small_state

from noise2map_jax.devices import sharding
from noise2map_jax.devices.execution import Execution, create_execution
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.network.statistics import STATISTICS
from noise2map_jax.steps.data_parallel import data_parallel
from noise2map_jax.steps.optimizer import create_optimizer
from noise2map_jax.steps.train_step import network_inputs, train_step

KEY = jax.random.key(3)


def step_of(problem: Problem, tx=ADAM, **options):
    return jax.jit(functools.partial(train_step, problems={"ss": problem}, tx=tx, **options))


def stepped(problem, state, num=1, tx=ADAM, first=0, **options):
    step, process = step_of(problem, tx, **options), {"ss": tiny_process()}
    for seed in range(first, first + num):
        state, metrics = step(state, {"ss": tiny_batch(num=16, seed=seed)}, process, KEY)
    return state, metrics


def statistics(params):
    return jax.tree.map(np.asarray, params[STATISTICS]["norm"])


def inputs_of(problem, batch, step=0):
    """What the network is given at a step."""
    key = jax.random.fold_in(jax.random.fold_in(KEY, step), problem.task.stream)
    return network_inputs(batch, tiny_process(), key, problem=problem)


def moments(problem, params, batch):
    """Mean and unbiased variance of what the normalisation is given, by hand."""
    x_t, *_ = inputs_of(problem, batch)
    kernel = params["encoder"]["kernel"]
    h = jax.lax.conv_general_dilated(
        x_t, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    h = np.asarray(h, np.float64).reshape(-1, 4)
    return h.mean(axis=0), h.var(axis=0, ddof=1)


def test_a_step_moves_the_statistics_by_a_tenth_towards_those_of_the_batch():
    problem = small_problem()
    before = small_state(problem, ADAM)
    after, _ = stepped(problem, before)
    mean, var = moments(problem, before.params, tiny_batch(num=16, seed=0))
    found = statistics(after.params)
    np.testing.assert_allclose(found["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_evaluation_uses_running_statistics_and_no_dropout():
    problem = small_problem(rate=0.5)
    state, _ = stepped(problem, small_state(problem, ADAM), num=2)
    x = jax.random.normal(KEY, (4, 16, 16, 3))
    apply = functools.partial(problem.apply, tiny_process(), state.params)
    one, other = apply(x, jnp.zeros(4, jnp.int32)), apply(x[:1], jnp.full(1, 7))
    np.testing.assert_allclose(one[:1], other, rtol=1e-5, atol=1e-6)  # nothing of other rows, no t


def test_eight_devices_and_one_give_the_same_numbers():
    problem = small_problem(rate=0.3)
    results = []
    for num in (1, 8):
        mesh = sharding.create_mesh(1, jax.devices()[:num])
        execution = Execution(mesh)
        spread = functools.partial(data_parallel, mesh=mesh, dtype=jnp.float32)
        options = {"spread": spread} if num > 1 else {}
        step = functools.partial(
            train_step, problems={"ss": problem}, tx=ADAM, ema_decay=0.9, **options
        )
        step, init = execution.jit(step, lambda key: small_state(problem, ADAM, use_ema=True))
        state, process = init(execution.keys([3])), sharding.replicate(tiny_process(), mesh)
        for seed in range(5):
            batch = sharding.shard_batch(tiny_batch(num=16, seed=seed), mesh)
            state, metrics = step(state, {"ss": batch}, {"ss": process}, execution.keys([3]))
        results.append(jax.device_get((state.params, state.ema_params, metrics["loss"])))
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_members_side_by_side_are_as_each_alone():
    problem, seeds = small_problem(rate=0.3), (1, 2)
    step = functools.partial(train_step, problems={"ss": problem}, tx=ADAM)
    execution = create_execution("vmap", len(seeds))
    together, init = execution.jit(step, lambda key: small_state(problem, ADAM))
    keys = execution.keys(seeds)
    batches = [{"ss": tiny_batch(num=8, seed=seed)} for seed in seeds]
    state, _ = together(
        init(keys),
        execution.put_batches(batches),
        execution.stack([{"ss": tiny_process()}] * len(seeds)),
        keys,
    )
    for i, seed in enumerate(seeds):
        alone, _ = jax.jit(step)(
            small_state(problem, ADAM), batches[i], {"ss": tiny_process()}, jax.random.key(seed)
        )
        for one, other in zip(
            jax.tree.leaves(execution.member(state.params, i)),
            jax.tree.leaves(alone.params),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_averages_are_of_the_statistics_too():
    problem = small_problem()
    state = small_state(problem, ADAM, use_ema=True)
    after, _ = stepped(problem, state, ema_decay=0.9)
    new, average = statistics(after.params), statistics(after.ema_params)
    rate = 1 - 1 / 10  # of the first step, see `update_ema`
    np.testing.assert_allclose(average["var"], 1 + rate * (new["var"] - 1), rtol=1e-6)
    assert after.eval_params is after.ema_params


def test_frozen_statistics_stay_to_the_bit_and_are_used():
    problem = small_problem(frozen_statistics=True)
    state, _ = stepped(small_problem(), small_state(problem, ADAM), num=3)
    after, metrics = stepped(problem, state)
    for name, value in statistics(state.params).items():
        np.testing.assert_array_equal(statistics(after.params)[name], value)
    # The loss of the step is that of prediction with these statistics.
    x_t, timesteps, targets, _ = inputs_of(problem, tiny_batch(num=16, seed=0), state.step)
    outputs = problem.apply(tiny_process(), state.params, x_t, timesteps)
    loss = problem.task.loss(outputs, targets, jnp.asarray(problem.class_weights))
    np.testing.assert_allclose(metrics["loss"], loss.total / loss.weight, rtol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_have_no_gradient(frozen):
    problem = small_problem(frozen_statistics=frozen)
    tx = create_optimizer("adamw", optax.constant_schedule(0.1), weight_decay=0.5)
    after, _ = stepped(problem, small_state(problem, tx), tx=tx)
    for moment in jax.tree.leaves(after.opt_state[1][0].mu[STATISTICS]):
        assert not np.any(moment)


def test_a_step_that_is_skipped_keeps_the_statistics():
    problem = small_problem()
    tx = create_optimizer(
        "adam",
        optax.constant_schedule(0.1),
        max_skipped_updates=3,
        skip_above_gradient_norm=1e-9,
    )
    state = small_state(problem, tx)
    after, metrics = stepped(problem, state, tx=tx, max_skipped_updates=3)
    assert metrics["skipped"]
    for one, other in zip(
        jax.tree.leaves(after.params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_dropout_follows_the_step_and_the_row():
    problem, still = small_problem(rate=0.5), small_problem()
    state = small_state(problem, optax.sgd(0.0))
    losses = [
        float(stepped(p, state.replace(step=jnp.int32(s)), tx=optax.sgd(0.0))[1]["loss"])
        for p, s in ((problem, 0), (problem, 0), (still, 0))
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
