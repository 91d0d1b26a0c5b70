import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from noise2map_jax.intervals import (
    Interval,
    Intervals,
    bootstrap_interval,
    confidence_intervals,
    half_width_over_scenes,
    half_width_over_seeds,
    resample,
)

NAN = float("nan")
VALUES = hnp.arrays(np.float64, (3, 8), elements=st.floats(-1, 1, width=32))


def mean_over_scenes(values):
    """The simplest score: [S, M] values, of which a seed's score is the mean."""
    return lambda counts: counts @ values.T / counts.sum(axis=1, keepdims=True)


def intervals(values, limits=(-np.inf, np.inf), seed=0):
    return confidence_intervals(
        mean_over_scenes(values), *values.shape, limits=limits, num_resamples=500, seed=seed
    )


def test_resamples_draw_as_many_as_there_are_and_again_the_same():
    seeds, scenes = resample(3, 5, 1000, seed=1)
    assert seeds.shape == (1000, 3)
    assert scenes.shape == (1000, 5)
    np.testing.assert_array_equal(seeds.sum(axis=1), 3)
    np.testing.assert_array_equal(scenes.sum(axis=1), 5)
    np.testing.assert_allclose(scenes.mean(axis=0), 1, atol=0.15)
    np.testing.assert_array_equal(scenes, resample(2, 5, 1000, seed=1)[1])  # paired scenes
    assert (scenes != resample(3, 5, 1000, seed=2)[1]).any()
    assert np.not_equal(*resample(5, 5, 1000, seed=1)).any()  # seeds are drawn apart from scenes


def test_bootstrap_of_a_hand_computed_case():
    values = np.array([[0.0, 1.0], [1.0, 3.0]])
    seed_counts = np.array([[2, 0], [1, 1], [0, 2]])
    scene_counts = np.array([[2, 0], [1, 1], [0, 2]])
    # Means 0, (0.5 + 2) / 2 and 3; the 2.5 % quantile is 5 % of the way from the first.
    found = bootstrap_interval(mean_over_scenes(values), seed_counts, scene_counts)
    np.testing.assert_allclose(found, (0.05 * 1.25, 3 - 0.05 * 1.75))


def test_bootstrap_leaves_out_resamples_without_a_score():
    def scores(counts):
        return np.where(counts[:, :1] > 0, 0.5, NAN) + np.zeros((1, 2))

    counts = np.array([[2, 0], [0, 2]])
    assert bootstrap_interval(scores, np.ones((2, 2)), counts) == (0.5, 0.5)
    found = bootstrap_interval(scores, np.ones((1, 2)), counts[1:])
    np.testing.assert_array_equal(found, (NAN, NAN))


def test_a_seed_that_was_not_drawn_may_have_no_score():
    found = bootstrap_interval(
        lambda counts: np.array([[0.25, NAN]]), np.array([[2, 0]]), np.array([[1, 1]])
    )
    assert found == (0.25, 0.25)


def test_half_width_over_seeds_is_that_of_scipy():
    values = np.array([0.6, 0.7, 0.72, 0.65])
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(half_width_over_seeds(values), (high - low) / 2)


@given(VALUES)
def test_jackknife_of_a_mean_is_the_t_interval(values):
    without_one = mean_over_scenes(values)(1 - np.eye(8)).mean(axis=1)
    expected = half_width_over_seeds(values.mean(axis=0))
    np.testing.assert_allclose(half_width_over_scenes(without_one), expected, atol=1e-9)


def test_half_widths_are_added_as_squares():
    values = np.array([[0.0, 1.0, 5.0], [1.0, 3.0, 2.0]])
    seeds, scenes = (half_width_over_seeds(values.mean(axis=axis)) for axis in (1, 0))
    half = np.sqrt(seeds**2 + scenes**2)
    np.testing.assert_allclose(intervals(values).t, (2 - half, 2 + half))


def test_a_score_that_rests_on_one_scene_has_no_bounds_but_the_limits():
    assert half_width_over_scenes(np.array([0.5, NAN])) == np.inf

    def scores(counts):
        return np.where(counts[:, :1] > 0, 0.5, NAN) + np.zeros((1, 2))

    found = confidence_intervals(scores, 2, 3, limits=(0.0, 1.0), num_resamples=50, seed=0)
    assert found.widest == found.t == (0.0, 1.0)
    assert found.bootstrap == (0.5, 0.5)


@settings(max_examples=30)
@given(VALUES)
def test_the_widest_interval_holds_the_others_and_the_mean(values):
    found = intervals(values)
    low, high = found.widest
    for one in (found.bootstrap, found.t):
        assert low <= one.low <= one.high <= high
    assert low - 1e-9 <= values.mean() <= high + 1e-9


@settings(max_examples=30)
@given(hnp.arrays(np.float64, (3, 20), elements=st.floats(0, 1, width=32)))
def test_the_bootstrap_holds_the_mean_where_values_differ(values):
    values = values + np.linspace(0, 1, 20)  # not degenerate, whatever is drawn
    low, high = intervals(values).bootstrap
    assert low < values.mean() < high


def test_intervals_end_at_the_limits():
    assert intervals(np.array([[0.0, 0.1], [0.9, 1.0]]), limits=(0.0, 1.0)).t == (0.0, 1.0)


def test_one_seed_or_scene_leaves_the_other():
    values = np.array([0.2, 0.4, 0.9])
    half = half_width_over_seeds(values)
    expected = (0.5 - half, 0.5 + half)
    np.testing.assert_allclose(intervals(values[None]).t, expected)
    np.testing.assert_allclose(intervals(values[:, None]).t, expected)
    alone = intervals(np.array([[0.5]]))
    assert alone == Intervals(Interval(0.5, 0.5), None)
    assert alone.widest == (0.5, 0.5)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0, 1, False), (NAN, NAN, False)],
)
def test_zero_is_left_out_or_not(low, high, expected):
    assert Interval(low, high).leaves_out_zero() == expected


@pytest.mark.parametrize("source", ["seeds", "scenes", "both"])
def test_the_widest_interval_covers_the_truth_where_the_bootstrap_does_not(source):
    """Three seeds on four scenes, with an effect of each seed, each scene or both."""
    covered = {"widest": 0, "bootstrap": 0}
    for number, rng in enumerate(np.random.default_rng(0).spawn(400)):
        values = 0.2 * rng.normal(size=(3, 4))
        values += rng.normal(size=(3, 1)) * (source != "scenes")
        values += rng.normal(size=(1, 4)) * (source != "seeds")
        found = intervals(values, seed=number)
        for name in covered:
            low, high = getattr(found, name)
            covered[name] += low <= 0 <= high
    assert covered["widest"] >= 0.93 * 400
    assert covered["bootstrap"] <= 0.90 * 400
