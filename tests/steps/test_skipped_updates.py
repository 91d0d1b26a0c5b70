"""Updates that are left out: gradients that are not finite, or far too large."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import drawn_params, tiny_batch, tiny_problem, tiny_process

from noise2map_jax.errors import UserError
from noise2map_jax.steps.optimizer import create_optimizer, skipped_updates
from noise2map_jax.steps.train_state import create_train_state
from noise2map_jax.steps.train_step import train_step
from noise2map_jax.training.train_log import TrainLog
from noise2map_jax.training.writer import MetricWriter

PARAMS = {"unet": {"kernel": jnp.ones(3)}, "ss_output_conv": {"kernel": jnp.ones(2)}}
RATE = optax.constant_schedule(0.1)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def gradient(size):
    return jax.tree.map(lambda p: jnp.full_like(p, size / np.sqrt(5)), PARAMS)  # of norm `size`


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 11.0])
def test_a_bad_gradient_changes_neither_parameters_nor_memory(bad, factor):
    options = {"max_gradient_norm": 1.0, "backbone_learning_rate_factor": factor}
    tx = create_optimizer(
        "adamw", RATE, max_skipped_updates=2, skip_above_gradient_norm=10.0, **options
    )
    plain = create_optimizer("adamw", RATE, **options)
    state, expected = tx.init(PARAMS), plain.init(PARAMS)
    for size in (0.5, bad, 2.0, bad, bad, 9.0):  # the first is not clipped either
        updates, state = tx.update(gradient(size), state, PARAMS)
        if size == bad or np.isnan(size):
            assert skipped_updates(state, 2).last
            assert not any(np.any(u) for u in jax.tree.leaves(updates))
        else:
            assert not skipped_updates(state, 2).last
            others, expected = plain.update(gradient(size), expected, PARAMS)
            jax.tree.map(assert_close, updates, others)
    inner = state[1].inner_state
    jax.tree.map(assert_close, inner, expected)


def test_one_more_in_a_row_than_allowed_is_done():
    tx = create_optimizer("adam", RATE, max_skipped_updates=2)
    state = tx.init(PARAMS)
    for finite in (True, True, False):
        updates, state = tx.update(gradient(np.nan), state, PARAMS)
        assert all(np.all(np.isfinite(u)) for u in jax.tree.leaves(updates)) == finite
        assert skipped_updates(state, 2).last == finite
    assert skipped_updates(state, 2).total == 3


@pytest.mark.parametrize(("limit", "skipped"), [(5.0, False), (4.9, True)])
def test_only_a_gradient_above_the_limit_is_left_out(limit, skipped):
    tx = create_optimizer("adam", RATE, max_skipped_updates=1, skip_above_gradient_norm=limit)
    params = jnp.zeros(2)
    _, state = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)  # its norm is 5
    assert skipped_updates(state, 1).last == skipped


def test_a_gradient_whose_norm_overflows_is_left_out():
    tx = create_optimizer("adam", RATE, max_skipped_updates=1)
    huge = jax.tree.map(lambda p: jnp.full_like(p, 3e38), PARAMS)
    updates, state = tx.update(huge, tx.init(PARAMS), PARAMS)
    assert skipped_updates(state, 1).last
    assert not any(np.any(u) for u in jax.tree.leaves(updates))


def test_a_step_that_is_skipped_changes_nothing_but_its_number():
    problem, key = tiny_problem(), jax.random.key(0)
    tx = create_optimizer("adam", RATE, max_skipped_updates=2, skip_above_gradient_norm=1e-9)
    state = create_train_state(drawn_params(problem.model), tx, use_ema=True)
    # Averages that lag behind, as they do in the middle of a run.
    state = state.replace(ema_params=jax.tree.map(lambda p: 0.5 * p, state.params))
    step = functools.partial(
        train_step, problems={"ss": problem}, tx=tx, ema_decay=0.9, max_skipped_updates=2
    )
    after, metrics = jax.jit(step)(state, {"ss": tiny_batch()}, {"ss": tiny_process()}, key)
    assert (after.step, metrics["skipped"], metrics["num_skipped"]) == (1, True, 1)
    for name in ("params", "ema_params"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(state, name))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip_above_gradient_norm": 5.0}, "skip_above_gradient_norm is 5.0, but max_skipped_up"),
        ({"max_skipped_updates": -1}, "max_skipped_updates is -1"),
        ({"max_skipped_updates": 1, "skip_above_gradient_norm": -0.5}, "norm -0.5; expected 0"),
    ],
)
def test_limits_that_cannot_be_are_named(options, words):
    with pytest.raises(UserError, match=words):
        create_optimizer("adam", RATE, **options)


def log_of(tmp_path, steps):
    writer = MetricWriter(tmp_path)
    log = TrainLog(writer, lambda step: 0.1 * step, 8, 2, last_step=len(steps))
    try:
        total = 0
        for i, (loss, skipped, norm) in enumerate(steps):
            total += not np.isfinite(loss)
            metrics = {"loss": loss, "skipped": skipped, "num_skipped": total}
            log.push(i + 1, metrics | {"params_norm": norm})
        log.pull()
    finally:
        writer.close()
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    return log, list(lines)


def test_means_leave_out_what_was_skipped_and_it_is_counted(tmp_path):
    nan = float("nan")
    log, lines = log_of(
        tmp_path, [(1.0, 0.0, 1.0), (nan, 1.0, 1.0), (nan, 1.0, 1.0), (nan, 1.0, 1.0)]
    )
    assert log.last_loss == 1.0
    assert lines[0]["train/loss"] == 1.0
    assert "train/loss" not in lines[1]
    assert [line["train/skipped_updates"] for line in lines] == [1, 3]
    assert [line["train/learning_rate"] for line in lines] == [0, 0]  # of the next update


def test_parameters_that_are_not_finite_end_the_run(tmp_path):
    nan = float("nan")
    with pytest.raises(FloatingPointError, match=r"step 2: .*after 1 skipped updates"):
        log_of(tmp_path, [(nan, 1.0, 1.0), (nan, 0.0, nan)])
