import numpy as np
import pytest

from benchmarks.uncertainty import risk_coverage, summary


def test_risk_is_the_share_of_wrong_pixels_among_the_surest():
    coverage, risk = risk_coverage(
        np.array([0.4, 0.1, 0.3, 0.2]), np.array([True, False, False, True])
    )
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0, 1 / 2, 1 / 3, 2 / 4])


def test_pixels_of_one_uncertainty_come_as_a_mixture():
    """Their order in the image says nothing."""
    wrong = np.array([True, False, False, True])
    for order in ([0, 1, 2, 3], [1, 0, 3, 2]):
        _, risk = risk_coverage(np.zeros(4), wrong[order])
        np.testing.assert_allclose(risk, np.full(4, 0.5))


def test_the_best_order_gains_all_and_chance_nothing():
    random = np.random.default_rng(0)
    wrong = random.uniform(size=20_000) < 0.1
    best = summary(wrong + random.uniform(0, 0.5, len(wrong)), wrong)
    assert best["gain"] == pytest.approx(1.0)
    assert best["risk"]["0.9"] < 0.01
    assert best["risk"]["1"] == pytest.approx(wrong.mean())
    assert abs(summary(random.uniform(size=len(wrong)), wrong)["gain"]) < 0.03
    assert summary(-1.0 * wrong, wrong)["gain"] < 0
    assert summary(np.zeros(len(wrong)), wrong)["gain"] == pytest.approx(0, abs=1e-9)


def test_without_mistakes_there_is_nothing_to_gain():
    assert summary(np.arange(3.0), np.zeros(3, bool))["gain"] is None
