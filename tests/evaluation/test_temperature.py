import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax.evaluation.temperature import TEMPERATURES, best_temperature


@given(st.floats(0.2, 5), st.integers(0, 10))
def test_the_temperature_is_found_by_which_probabilities_are_too_sure(temperature, seed):
    """Labels drawn from a network's probabilities at T: the likelihood has its top near T."""
    logits = np.linspace(-4, 4, 41)
    likely = 1 / (1 + np.exp(-logits / temperature))
    rng = np.random.default_rng(seed)
    ones = rng.binomial(10_000, likely)
    values = np.concatenate([logits, logits]), np.concatenate([ones, 10_000 - ones])
    labels = np.repeat([True, False], len(logits))
    signed = np.where(labels, values[0], -values[0])[:, None] / TEMPERATURES.astype(float)
    total = -(values[1][:, None] * np.logaddexp(0, -signed)).sum(axis=0)
    assert best_temperature(total) == pytest.approx(temperature, rel=0.03)


def test_between_temperatures_the_top_of_a_parabola_is_taken():
    logs = np.log(TEMPERATURES.astype(float))
    assert best_temperature(-((logs - 0.321) ** 2)) == pytest.approx(np.exp(0.321), rel=1e-4)


@pytest.mark.parametrize("end", [0, -1])
def test_beyond_the_range_it_is_the_end(end):
    sign = 1 if end else -1
    assert best_temperature(sign * np.arange(len(TEMPERATURES))) == TEMPERATURES[end]


def test_a_flat_likelihood_is_no_error():
    assert best_temperature(np.zeros(len(TEMPERATURES))) == TEMPERATURES[0]
