import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from noise2map_jax.study.intervals import Estimate, Interval, estimate

NAN, WIDE = float("nan"), (-np.inf, np.inf)
# Hours of sleep gained with two drugs by ten patients (Student 1908, Biometrika 6), the table of
# R's `sleep`. Of the paired difference t.test gives t = 4.0621, p = 0.002833 and 95 % limits
# 0.7001142 and 2.4598858.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
SLEEP_P, SLEEP_LIMITS = 0.002833, (0.7001142, 2.4598858)
VALUES = hnp.arrays(np.float64, (3, 5), elements=st.integers(-50, 50).map(lambda i: i / 100))


def counts(values, sizes=20_000):
    """Matrices of places whose F1 is 0.5 + values [S, M], of so many labelled and predicted."""
    sizes = np.broadcast_to(sizes, values.shape)
    hits = np.round((0.5 + values) * sizes / 2).astype(np.int64)
    wrong = sizes // 2 - hits
    return np.stack([np.full_like(hits, 7), wrong, wrong, hits], -1).reshape(*values.shape, 2, 2)


def known(mean=0.02, seed_error=0.004, place_error=0.003, seeds=3, places=20, effective=None):
    """An estimate with these errors."""
    numbers = (mean, seed_error, place_error)
    effective = np.array(float(places if effective is None else effective))
    return Estimate(*map(np.array, numbers), seeds, places, effective)


@pytest.mark.parametrize("axis", ["places", "seeds"])
def test_a_published_example_over_places_and_over_seeds(axis):
    def arranged(values):  # the other axis varies in nothing
        copies = np.tile(values / 100, (4, 1))
        return copies if axis == "places" else copies.T

    found = estimate(counts(arranged(SECOND)), counts(arranged(FIRST)))
    np.testing.assert_allclose(found.mean, 0.0158)
    interval = found.interval(0.05, (-1.0, 1.0))
    np.testing.assert_allclose(100 * np.array(interval), SLEEP_LIMITS, rtol=1e-6)
    np.testing.assert_allclose(found.p_value(), SLEEP_P, atol=5e-7)


def test_errors_of_a_hand_computed_case():
    # F1 of the split: seed 0 (0.2 + 0.4 + 0.6) / 3 = 0.4, seed 1 (0.4 + 0.8 + 0.9) / 3 = 0.7.
    found = estimate(counts(np.array([[0.2, 0.4, 0.6], [0.4, 0.8, 0.9]]) - 0.5))
    np.testing.assert_allclose(found.mean, 0.55)
    np.testing.assert_allclose(found.seed_error, 0.15)  # half the distance of two seeds
    # Means of places 0.3, 0.6, 0.75: deviations -0.25, 0.05, 0.2; the mean's error
    # sqrt((0.0625 + 0.0025 + 0.04) / 2 / 3).
    np.testing.assert_allclose(found.place_error, np.sqrt(0.105 / 6))
    np.testing.assert_allclose(found.effective_places, 3)


def test_half_widths_are_added_as_squares():
    # Student's t at 97.5 %: 4.303 of 2 degrees of freedom, 2.093 of 19 (any table).
    expected = np.hypot(4.303 * 0.004, 2.093 * 0.003)
    np.testing.assert_allclose(known().half_width(0.05), expected, rtol=2e-4)
    # At 99.5 %: 9.925 and 2.861.
    expected = np.hypot(9.925 * 0.004, 2.861 * 0.003)
    np.testing.assert_allclose(known().half_width(0.01), expected, rtol=2e-4)


def test_unequal_places_count_as_fewer():
    # Sizes 9, 1, 1, 1: 12 squared over 84.
    sizes = np.array([18_000, 2_000, 2_000, 2_000])
    found = estimate(counts(np.zeros((2, 4)), sizes), counts(np.zeros((2, 4)), sizes))
    np.testing.assert_allclose(found.effective_places, 144 / 84)
    even = known(seed_error=0.0, places=4)
    uneven = known(seed_error=0.0, places=4, effective=144 / 84)
    # t at 97.5 %: 3.182 of 3 degrees of freedom, far more of 5 / 7.
    np.testing.assert_allclose(even.half_width(0.05), 3.182 * 0.003, rtol=2e-4)
    assert uneven.half_width(0.05) > 10 * even.half_width(0.05)
    # As many as two: 12.706 of 1 degree of freedom.
    two = known(seed_error=0.0, places=4, effective=2)
    np.testing.assert_allclose(two.half_width(0.05), 12.706 * 0.003, rtol=2e-4)


def test_a_single_pixel_is_a_place_of_its_own():
    single = np.zeros((2, 4, 2, 2), np.int64)
    single[..., 0, 0] = 9
    single[:, 2, 1, 0] = [1, 0]  # missed, and not there for the other seed
    np.testing.assert_allclose(estimate(single).effective_places, 1)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_many_scores_at_once_are_estimated_as_each_alone(num_seeds):
    values = np.random.default_rng(0).uniform(-0.4, 0.4, (2, 5, num_seeds, 4))
    sizes = np.array([2_000, 4_000, 20_000, 6_000])
    many, others = counts(values, sizes), counts(-values[..., ::-1], sizes)
    together = estimate(many, others)
    assert (together.num_seeds, together.num_places) == (num_seeds, 4)
    for index in np.ndindex(2, 5):
        alone = estimate(many[index], others[index])
        for name in ("mean", "seed_error", "place_error", "effective_places"):
            np.testing.assert_allclose(getattr(together, name)[index], getattr(alone, name))
    assert together.seed_error.shape == (2, 5)


def test_a_class_of_one_place_makes_a_score_of_one_place():
    three = np.zeros((2, 4, 3, 3), np.int64)
    three[:, :, 1, 1] = 100
    three[:, 0, 2, 2] = 100
    found = estimate(three)
    np.testing.assert_allclose(found.effective_places, 1)
    assert found.half_width(0.05) == np.inf  # though no place changes the score
    assert found.interval(0.05, (0.0, 1.0)) == (0.0, 1.0)


def test_a_score_that_rests_on_one_place_has_no_bounds_but_the_limits():
    only = np.zeros((2, 3, 2, 2), np.int64)
    only[:, 0] = [[9, 1], [1, 3]]
    found = estimate(only)
    np.testing.assert_allclose(found.mean, 0.75)
    assert found.place_error == np.inf
    assert found.interval(0.05, (0.0, 1.0)) == (0.0, 1.0)
    assert found.detectable(0.05) == np.inf


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((3, 2), "2 places, at least 3 are needed"),
        ((3, 1), "1 place, at least 3 are needed"),
        ((1, 20), "1 seed, at least 2 are needed"),
    ],
)
def test_no_interval_is_made_up(shape, said):
    found = estimate(counts(np.random.default_rng(0).uniform(-0.3, 0.3, shape)))
    assert found.refusal == said
    assert found.interval(0.05, (0.0, 1.0)) is None
    assert np.isnan([found.p_value(), found.detectable(0.05)]).all()
    assert np.isfinite(found.mean)


def test_the_fewest_that_have_an_interval():
    found = estimate(counts(np.random.default_rng(0).uniform(-0.3, 0.3, (2, 3))))
    assert found.refusal == ""
    assert found.interval(0.05, (0.0, 1.0)) is not None


def test_without_foreground_there_is_no_interval():
    empty = np.zeros((2, 4, 2, 2), np.int64)
    empty[..., 0, 0] = 5
    found = estimate(empty)
    assert found.refusal == "no foreground is labelled"
    assert found.interval(0.05, (0.0, 1.0)) is None


@settings(deadline=None)
@given(VALUES, VALUES)
def test_exchanging_the_two_turns_the_interval(ours, theirs):
    one = estimate(counts(ours), counts(theirs)).interval(0.01, (-1.0, 1.0))
    other = estimate(counts(theirs), counts(ours)).interval(0.01, (-1.0, 1.0))
    np.testing.assert_allclose(one, [-other.high, -other.low], atol=1e-12)


@settings(deadline=None)
@given(VALUES, st.permutations(range(3)), st.permutations(range(5)))
def test_the_order_of_seeds_and_places_does_not_matter(values, seeds, places):
    found = estimate(counts(values)).interval(0.05, WIDE)
    expected = estimate(counts(values[seeds][:, places])).interval(0.05, WIDE)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(deadline=None)
@given(
    st.floats(0.001, 0.2), st.floats(0, 0.1), st.floats(0, 0.1), st.integers(2, 9), st.floats(2, 50)
)
def test_p_is_where_the_interval_begins_to_leave_out_zero(mean, seed, place, seeds, effective):
    found = known(mean, seed, place, seeds, 60, effective)
    p = found.p_value()
    for alpha in (0.05, 0.01, 0.05 / 11):
        if abs(p - alpha) > 1e-6:
            assert (p < alpha) == found.interval(alpha, WIDE).leaves_out_zero()


def test_p_of_extremes():
    assert known(mean=0.0).p_value() == 1
    assert known(mean=0.0, seed_error=0.0, place_error=0.0).p_value() == 1
    assert known(mean=0.1, seed_error=0.0, place_error=0.0).p_value() < 1e-9
    np.testing.assert_allclose(known(mean=-0.02).p_value(), known(mean=0.02).p_value())
    assert known(mean=1.0).p_value() < 1e-3
    assert known(mean=0.1, effective=1.0).p_value() == 1  # the interval has no bounds


@pytest.mark.parametrize(
    ("quantile", "p"), [(0.816, 0.5), (1.886, 0.2), (4.303, 0.05), (9.925, 0.01)]
)
def test_p_is_that_of_tables_of_the_t_distribution(quantile, p):
    # Quantiles of 2 degrees of freedom, of three seeds.
    found = known(mean=quantile * 0.004, place_error=0.0)
    np.testing.assert_allclose(found.p_value(), p, rtol=2e-3)


def test_what_many_seeds_and_places_see_is_what_textbooks_say():
    # With known errors a two-sided test at 5 % sees 1.96 + 0.84 standard errors in 80 % of cases
    # (Cohen 1988, Statistical Power Analysis, ch. 2: d = 2.80 for a power of 0.80).
    found = known(seed_error=0.003, place_error=0.004, seeds=5000, places=5000)
    np.testing.assert_allclose(found.detectable(0.05), 2.80 * 0.005, rtol=2e-3)


@pytest.mark.parametrize("axis", ["seeds", "places"])
def test_what_few_see_is_the_power_of_the_t_test(axis):
    # Of four: the noncentral t distribution, whose error is the true one.
    if axis == "seeds":
        found = known(seed_error=0.01, place_error=0.0, seeds=4, places=60)
    else:
        found = known(seed_error=0.0, place_error=0.01, seeds=60, places=9, effective=4)
    error = 0.01 / np.sqrt(stats.chi2.median(3) / 3)
    shift = found.detectable(0.05) / error
    power = stats.nct.sf(stats.t.isf(0.025, 3), 3, shift)
    np.testing.assert_allclose(power, 0.8, atol=0.005)


def test_zero_is_left_out_on_either_side():
    # At 50 % a test of known errors is wrong about the sign now and then: the chance that a normal
    # value about the shift is beyond 0.674, squared that of the noncentral chi-squared.
    found = known(seed_error=0.003, place_error=0.004, seeds=5000, places=5000)
    shift = found.detectable(0.5) / 0.005
    power = stats.ncx2.sf(stats.norm.isf(0.25) ** 2, 1, shift**2)
    np.testing.assert_allclose(power, 0.8, atol=0.002)


def test_more_comparisons_see_less():
    seen = [known().detectable(0.05 / number) for number in (1, 2, 5, 11)]
    assert np.all(np.diff(seen) > 0)
    assert known(seed_error=0.0, place_error=0.0).detectable(0.05) == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, True),
        (-0.2, -0.1, True),
        (-0.1, 0.1, False),
        (0, 1, False),
        (-1, 0, False),
        (NAN, NAN, False),
    ],
)
def test_zero_is_left_out_or_not(low, high, expected):
    assert Interval(low, high).leaves_out_zero() == expected
