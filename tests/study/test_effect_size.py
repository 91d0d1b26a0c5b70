import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from noise2map_jax.study.effect_size import PairedEffect, rank_biserial

DIFFERENCES = hnp.arrays(
    np.float64, st.integers(1, 30), elements=st.integers(-20, 20).map(lambda i: i / 20)
)


def test_effect_of_a_published_example():
    # The example of "Wilcoxon signed-rank test" in Wikipedia: ten pairs, one of them without a
    # difference; W = 9 of ranks that add up to 45, so that the correlation is 0.20.
    second = np.array([125, 115, 130, 140, 140, 115, 140, 125, 140, 135])
    first = np.array([110, 122, 125, 120, 140, 124, 123, 137, 135, 145])
    found = rank_biserial(second - first)
    assert found.num_pairs == 10
    np.testing.assert_allclose(found.size, 9 / 45)


def test_effect_of_a_hand_computed_case():
    # Ranks of 1, 2, 3, 4: the positive ones have 1 + 3 + 4 = 8, the negative one 2, of 10.
    assert rank_biserial(np.array([0.1, -0.2, 0.3, 0.4])) == PairedEffect(0.6, 4)
    # Ties share the mean rank 1.5 of 1 and 2: 3 + 1.5 against 1.5, of 6.
    assert rank_biserial(np.array([1.0, -1.0, 2.0])) == PairedEffect(0.5, 3)


@settings(deadline=None)
@given(DIFFERENCES)
def test_effect_is_bounded_and_turns_with_the_differences(differences):
    one, other = rank_biserial(differences), rank_biserial(-differences)
    assert -1 <= one.size <= 1
    np.testing.assert_allclose(one.size, -other.size, atol=1e-12)


@settings(deadline=None)
@given(DIFFERENCES, st.floats(0.1, 10))
def test_only_the_order_of_sizes_counts(differences, factor):
    expected = rank_biserial(differences)
    np.testing.assert_allclose(rank_biserial(differences * factor).size, expected.size)
    cubes = rank_biserial(10 * differences**3)
    np.testing.assert_allclose(cubes.size, expected.size)
    if (differences > 0).all():
        assert expected.size == 1


def test_undefined_pairs_are_left_out_and_equal_ones_counted():
    assert rank_biserial(np.array([[0.1, np.nan], [0.0, 0.3]])) == PairedEffect(1.0, 3)
    without_pairs = rank_biserial(np.array([np.nan]))
    assert np.isnan(without_pairs.size)
    assert without_pairs.num_pairs == 0


def test_differences_of_rounding_are_none():
    assert rank_biserial(np.array([0.1 + 0.2 - 0.3, 1e-15])) == PairedEffect(0.0, 2)


def test_differences_count_from_half_a_unit_of_the_twelfth_digit():
    # What counts alone is the clear difference; with the small one, ranks 2 against 1, of 3.
    assert rank_biserial(np.array([4e-13, -0.1])) == PairedEffect(-1.0, 2)
    np.testing.assert_allclose(rank_biserial(np.array([4e-12, -0.1])).size, -1 / 3)
