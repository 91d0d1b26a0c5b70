import dataclasses
import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import (
    ONE_DRAW,
    TWO_LEVELS,
    drawn_params,
    initial_params,
    tiny_batch,
    tiny_problem,
    tiny_process,
    tiny_tiles,
)

from noise2map_jax.method.augment import Augmentation
from noise2map_jax.method.tasks import DenoisingTargets
from noise2map_jax.steps.eval_step import denoising_eval_step, eval_step, predict_step
from noise2map_jax.steps.train_state import create_train_state
from noise2map_jax.steps.train_step import train_step

KEY = jax.random.key(7)
PLAIN = Augmentation(flips_and_turns=False)
ADAM = optax.adam(1e-2)
# Plain gradient descent: its update is the gradient itself, without Adam's normalisation.
SGD = optax.sgd(1.0)


def start(problem, tx, use_ema=False):
    params = drawn_params(problem.model)
    return create_train_state(params, tx, use_ema=use_ema)


@functools.cache
def jitted_step(task="ss", tx=SGD, augmentation=PLAIN, **options):
    """A problem and its step, which tests share: each is compiled once."""
    problem = tiny_problem(task, augmentation=augmentation)
    step = functools.partial(train_step, problems={task: problem}, tx=tx, **options)
    return problem, jax.jit(step)


def run(
    task="ss",
    steps=1,
    batch=None,
    process=None,
    tx=ADAM,
    use_ema=False,
    augmentation=PLAIN,
    **options,
):
    problem, step = jitted_step(task, tx, augmentation, **options)
    state, losses = start(problem, tx, use_ema), []
    process = process or tiny_process(task)
    for _ in range(steps):
        state, metrics = step(state, {task: batch or tiny_batch(task)}, {task: process}, KEY)
        losses.append(float(metrics["loss"]))
    return state, np.array(losses)


@pytest.mark.parametrize("task", ["ss", "cd", "denoise"])
def test_the_loss_of_every_task_falls(task):
    batch = tiny_batch("ss" if task == "denoise" else task)
    state, losses = run(task, steps=30, batch=batch)
    assert state.step == 30
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()


def test_first_losses_equal_what_they_were():
    """If this moves on purpose (initial values, random streams, the loss), write the new values."""
    problem = tiny_problem("cd", unet=TWO_LEVELS, augmentation=Augmentation(brightness=0.1))
    step = jax.jit(functools.partial(train_step, problems={"cd": problem}, tx=ADAM))
    state = create_train_state(initial_params(problem.model), ADAM, use_ema=False)
    losses = []
    for _ in range(3):
        state, metrics = step(state, {"cd": tiny_batch("cd")}, {"cd": tiny_process("cd")}, KEY)
        losses.append(float(metrics["loss"]))
    np.testing.assert_allclose(losses, GOLDEN_LOSSES, rtol=2e-4)


def test_the_weight_of_a_task_scales_its_gradient():
    moves = []
    problem, step = jitted_step()
    double = dataclasses.replace(problem, weight=2.0)
    doubled = jax.jit(functools.partial(train_step, problems={"ss": double}, tx=SGD))
    for each in (step, doubled):
        _, metrics = each(start(problem, SGD), {"ss": tiny_batch()}, {"ss": tiny_process()}, KEY)
        moves.append(jnp.array([metrics["loss"], metrics["gradient_norm"]]))
    np.testing.assert_allclose(moves[1], 2 * moves[0], rtol=1e-5)


# What is unrolled is compiled for each part.
@pytest.mark.parametrize(("unroll", "number"), [(True, 2), (False, 4)])
def test_accumulation_equals_the_whole_batch(unroll, number):
    whole, loss = run(tx=SGD)
    parts, loss_of_parts = run(tx=SGD, num_microbatches=number, unroll_microbatches=unroll)
    np.testing.assert_allclose(loss_of_parts, loss, rtol=1e-5)
    chex.assert_trees_all_close(parts.params, whole.params, rtol=1e-4, atol=1e-6)


def test_accumulation_weighs_micro_batches_by_their_pixels():
    batch = tiny_batch()
    batch["mask"][::2, :12] = 255  # micro-batches of very unequal weight
    whole, _ = run(batch=batch, tx=SGD)
    parts, _ = run(batch=batch, tx=SGD, num_microbatches=4, unroll_microbatches=False)
    chex.assert_trees_all_close(parts.params, whole.params, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", ["ss", "denoise"])
def test_a_batch_with_nothing_to_learn_from_moves_nothing(task):
    batch = tiny_batch()
    batch["mask"][:] = 255
    before = start(tiny_problem(task), SGD)
    after, losses = run(task, batch=batch, tx=SGD if task == "ss" else ADAM)
    assert losses[0] == 0
    chex.assert_trees_all_equal(after.params, before.params)


def test_randomness_depends_on_the_step_and_on_the_seed():
    problem, step = jitted_step()
    state = start(problem, SGD)
    args = ({"ss": tiny_batch()}, {"ss": tiny_process()})
    first = step(state, *args, KEY)[1]["loss"]
    assert first == step(state, *args, KEY)[1]["loss"]
    assert first != step(state.replace(step=jnp.int32(1)), *args, KEY)[1]["loss"]
    assert first != step(state, *args, jax.random.key(8))[1]["loss"]


class Seen(Exception):
    pass


def inputs_of(*tasks):
    """What the networks of the tasks of one step are given."""
    seen = {}

    def spread(gradients):
        def look(params, inputs, processes):
            seen.update(inputs)
            raise Seen

        return look

    state = create_train_state({}, optax.sgd(0.0), use_ema=False)
    with pytest.raises(Seen):
        train_step(
            state,
            {task: tiny_batch("cd" if task == "cd" else "ss") for task in tasks},
            {task: tiny_process(task) for task in tasks},
            KEY,
            problems={task: tiny_problem(task, augmentation=Augmentation()) for task in tasks},
            tx=optax.sgd(0.0),
            spread=spread,
        )
    return seen


def test_tasks_of_one_step_share_no_random_numbers():
    together = inputs_of("cd", "denoise", "ss")
    timesteps = [np.asarray(inputs[1]) for inputs in together.values()]
    for one, other in itertools.combinations(timesteps, 2):
        assert (one != other).sum() > 5  # of eight
    # The same tiles, of which `ss` and `denoise` know where there is a label, turned otherwise.
    labels, noised = together["ss"][2], together["denoise"][2]
    assert ((labels == 255) != ~noised.valid).any()
    for task in together:
        chex.assert_trees_all_equal(inputs_of(task)[task], together[task])


def test_padding_counts_nowhere_in_the_loss_of_denoising():
    task = tiny_problem("denoise").task
    outputs, values = np.random.default_rng(0).normal(size=(2, 2, 4, 4, 3)).astype(np.float32)
    valid = np.zeros((2, 4, 4), bool)
    valid[0, :2], valid[1, :, 1] = True, True
    loss = task.loss(outputs, DenoisingTargets(values, valid), jnp.zeros(0))
    expected = np.square(outputs - values)[valid].mean()
    np.testing.assert_allclose(loss.total / loss.weight, expected, rtol=1e-5)


def test_padding_counts_nowhere_in_the_evaluation_of_denoising():
    problem, process = tiny_problem("denoise"), tiny_process("denoise")
    params = drawn_params(problem.model)
    evaluate = jax.jit(functools.partial(denoising_eval_step, problem=problem))
    batch = tiny_batch() | {"index": np.arange(8, dtype=np.int32)}
    batch["mask"][:], batch["mask"][:, 5:] = 0, 255
    out = evaluate(params, batch, process, np.int32(0), np.int32(1000))
    np.testing.assert_array_equal(out["num_values"], np.full(8, 5 * 16 * 3))
    whole = batch | {"mask": np.zeros_like(batch["mask"])}
    rest = batch | {"mask": 255 - batch["mask"]}
    for name in ("error", "power"):
        parts = [
            evaluate(params, b, process, np.int32(0), np.int32(1000))[name]
            for b in (batch, rest, whole)
        ]
        np.testing.assert_allclose(parts[0] + parts[1], parts[2], rtol=1e-5)
        assert (np.asarray(parts[0]) > 0).all()


def test_one_executable_serves_all_processes():
    problem, tx = tiny_problem("cd"), optax.adam(1e-3)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(*args):
        return train_step(*args, problems={"cd": problem}, tx=tx)

    state = start(problem, tx)
    losses = {
        float(
            step(state, {"cd": tiny_batch("cd")}, {"cd": tiny_process("cd", **options)}, KEY)[1][
                "loss"
            ]
        )
        for options in ({}, {"gaussian": 1.0}, {"use_timestep": False}, {"timestep_range": (0, 9)})
    }
    assert len(losses) == 4


def test_averaged_weights_lag_behind():
    state, _ = run(steps=5, use_ema=True, ema_decay=0.999)
    problem = tiny_problem()
    initial = start(problem, optax.adam(1e-2)).params
    gap = optax.tree.norm(jax.tree.map(jnp.subtract, state.ema_params, state.params))
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, state.ema_params, initial))
    assert gap > 0
    assert moved > 0
    assert state.eval_params is state.ema_params


def test_evaluation_counts_every_valid_pixel_once():
    problem, process = tiny_problem(), tiny_process()
    params = drawn_params(problem.model)
    batch = tiny_tiles() | {"valid": np.arange(8) < 5}
    out = jax.jit(functools.partial(eval_step, problem=problem))(params, batch, process, ONE_DRAW)
    counted = np.asarray(out["confusion"])
    np.testing.assert_array_equal(counted.sum(axis=(1, 2)), [16 * 14] * 5 + [0] * 3)
    predict = jax.jit(functools.partial(predict_step, problem=problem))
    probabilities = np.asarray(predict(params, tiny_tiles(), process, ONE_DRAW).probabilities)
    np.testing.assert_allclose(probabilities.sum(axis=-1), np.ones((8, 16, 16)), rtol=1e-5)
    predicted = probabilities.argmax(axis=-1)
    for i in range(5):
        keep = batch["mask"][i, ..., 0] != 255
        expected = np.zeros((2, 2), int)
        np.add.at(expected, (batch["mask"][i, ..., 0][keep], predicted[i][keep]), 1)
        np.testing.assert_array_equal(counted[i], expected)


def test_rows_that_fill_a_batch_change_nothing():
    problem, process = tiny_problem(), tiny_process()
    params = drawn_params(problem.model)
    batch = tiny_tiles(num=4)
    evaluate = jax.jit(functools.partial(eval_step, problem=problem))
    alone = evaluate(params, batch, process, ONE_DRAW)
    filled = {k: np.concatenate([v, np.zeros_like(v)]) for k, v in batch.items()}
    filled["valid"] = np.arange(8) < 4
    padded = evaluate(params, filled, process, ONE_DRAW)
    np.testing.assert_array_equal(padded["confusion"][:4], alone["confusion"])
    assert np.all(padded["confusion"][4:] == 0)
    np.testing.assert_allclose(padded["loss_total"], alone["loss_total"], rtol=1e-6)
    np.testing.assert_allclose(padded["loss_weight"], alone["loss_weight"])


def test_prediction_over_several_timesteps_is_their_mean():
    problem, batch = tiny_problem("cd"), tiny_tiles("cd")
    params = drawn_params(problem.model)
    predict = jax.jit(functools.partial(predict_step, problem=problem))
    alone = [
        np.asarray(
            predict(params, batch, tiny_process("cd", inference_timesteps=(t,)), ONE_DRAW)[0]
        )
        for t in (700, 900)
    ]
    both = predict(params, batch, tiny_process("cd", inference_timesteps=(700, 900)), ONE_DRAW)
    np.testing.assert_allclose(both.probabilities, (alone[0] + alone[1]) / 2, atol=1e-6)
    spread = np.abs(alone[0] - alone[1])[..., 0] / 2  # of two values
    np.testing.assert_allclose(both.uncertainty, spread, atol=1e-5)
    assert both.uncertainty.max() > 0
    one = predict(params, batch, tiny_process("cd"), ONE_DRAW)
    np.testing.assert_array_equal(one.uncertainty, np.zeros((8, 16, 16)))


def test_prediction_uses_the_inference_timestep():
    problem = tiny_problem("cd")
    params = drawn_params(problem.model)
    batch = tiny_tiles("cd")
    at_258 = tiny_process("cd", inference_timesteps=(258,))
    swapped = batch | {"pre": batch["post"], "post": batch["pre"]}

    jitted = jax.jit(functools.partial(predict_step, problem=problem))

    def predict(batch, process):
        return np.asarray(jitted(params, batch, process, ONE_DRAW).probabilities)

    # At t = 258 both halves of the input are alike: the order of the dates cannot matter there.
    blind = np.abs(predict(batch, at_258) - predict(swapped, at_258)).max()
    seeing = np.abs(predict(batch, tiny_process("cd")) - predict(swapped, tiny_process("cd"))).max()
    assert blind < 0.02 * seeing


GOLDEN_LOSSES = [0.775576, 0.675874, 0.665192]
