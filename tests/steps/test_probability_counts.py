import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from linear_problem import linear_params, linear_problem, pixels

from noise2map_jax.method.noise import create_noise_process
from noise2map_jax.method.schedules import linear
from noise2map_jax.steps.eval_step import eval_step, likelihood_step, predict_step
from noise2map_jax.steps.probability_counts import (
    NUM_BINS,
    at_temperature,
    log_likelihood,
    probability_counts,
)

LABELS = {0: 0, 2: 1, 4: 0}  # tile 1 only fills the batch, tile 3 is ignored


def arguments():
    batch = pixels([[0, 1], [2, 2], [1, 0], [2, 1], [0, 2]], [0, 1, 1, 255, 0]) | {
        "valid": np.array([True, False, True, True, True]),
        "scene": np.zeros(5, np.uint32),
        "row": np.zeros(5, np.int32),
        "column": np.zeros(5, np.int32),
    }
    process = create_noise_process(linear(10), inference_timesteps=(0, 5))
    return linear_params(), batch, process, np.zeros(1, np.int32)


def predicted(temperature):
    """The foreground probabilities of all tiles at a temperature, from those at 1."""
    found = predict_step(*arguments(), problem=linear_problem()).probabilities
    powers = np.asarray(found, np.float64)[:, 0, 0] ** (1 / temperature)
    return (powers / powers.sum(axis=1, keepdims=True))[:, 1]


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_pixels_are_counted_by_label_and_probability(temperature):
    problem = linear_problem()
    out = eval_step(*arguments(), problem=problem, temperatures=(5.0, temperature))
    counts = out["probabilities"][1]
    foreground = predicted(temperature)
    assert len(set(np.round(foreground, 3))) > 2
    expected = np.zeros((2, NUM_BINS), int)
    for i, label in LABELS.items():
        expected[label, int(foreground[i] * NUM_BINS)] += 1
    np.testing.assert_array_equal(counts.histogram, expected)
    errors = [(foreground[i] - label) ** 2 for i, label in LABELS.items()]
    np.testing.assert_allclose(counts.squared_error, sum(errors), rtol=1e-5)
    logs = [np.log(foreground[i] if label else 1 - foreground[i]) for i, label in LABELS.items()]
    np.testing.assert_allclose(counts.log_likelihood, sum(logs), rtol=1e-5)
    found = likelihood_step(*arguments(), jnp.array([temperature, 5.0]), problem=problem)
    np.testing.assert_allclose(found[0], sum(logs), rtol=1e-5)


def test_a_problem_predicts_at_its_temperature():
    problem = dataclasses.replace(linear_problem(), temperature=2.5)
    found = predict_step(*arguments(), problem=problem).probabilities
    np.testing.assert_allclose(found[:, 0, 0, 1], predicted(2.5), rtol=1e-5)


def test_no_temperature_counts_nothing():
    assert eval_step(*arguments(), problem=linear_problem())["probabilities"] == []


def test_a_sure_network_is_counted_in_the_outer_bins():
    log_probs = jnp.log(jnp.array([[[[1.0, 0.0], [0.0, 1.0]]]]))
    counts = probability_counts(log_probs, jnp.array([[[0, 1]]]))
    assert counts.histogram[0, 0] == counts.histogram[1, NUM_BINS - 1] == 1
    assert (counts.squared_error, counts.log_likelihood) == (0, 0)


def test_of_three_classes_the_foreground_is_all_but_the_first():
    log_probs = jnp.log(jnp.array([[[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]]]))
    counts = probability_counts(log_probs, jnp.array([[[2, 7]]]))  # 7 is no class
    assert counts.histogram.sum() == counts.histogram[1, 799:801].sum() == 1
    np.testing.assert_allclose(counts.squared_error, 0.2**2, rtol=1e-5)
    np.testing.assert_allclose(counts.log_likelihood, np.log(0.5), rtol=1e-5)
    cold = jnp.exp(at_temperature(log_probs, 0.5))[0, 0, 0]
    np.testing.assert_allclose(cold, np.array([0.04, 0.09, 0.25]) / 0.38, rtol=1e-5)


def test_what_is_ignored_may_be_impossible():
    log_probs = jnp.log(jnp.array([[[[1.0, 0.0], [0.5, 0.5]]]]))
    assert log_likelihood(log_probs, jnp.array([[[255, 1]]])) == jnp.log(0.5)
