import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from noise2map_jax.significance import holm, rank_biserial, signed_ranks

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)
DIFFERENCES = hnp.arrays(
    np.float64, st.integers(1, 30), elements=st.integers(-20, 20).map(lambda i: i / 20)
)


def test_holm_of_a_hand_computed_case():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, which rises to 0.06.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.5]), [1, 1])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(P_VALUES)
def test_holm_keeps_the_order_and_lowers_nothing(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@given(P_VALUES)
def test_holm_lies_between_no_correction_and_bonferroni(p_values):
    assert np.all(np.array(holm(p_values)) <= np.minimum(1, len(p_values) * np.array(p_values)))


def test_effect_of_a_hand_computed_case():
    # Ranks of 1, 2, 3, 4: the positive ones have 1 + 3 + 4 = 8, the negative one 2, of 10.
    assert rank_biserial(np.array([0.1, -0.2, 0.3, 0.4])) == 0.6
    # Ties share the mean rank 1.5 of 1 and 2: 3 + 1.5 against 1.5, of 6.
    assert rank_biserial(np.array([1.0, -1.0, 2.0])) == 0.5


@settings(deadline=None, max_examples=20)
@given(DIFFERENCES)
def test_effect_is_bounded_and_turns_with_the_differences(differences):
    one, other = signed_ranks(differences), signed_ranks(-differences)
    assert -1 <= one.effect <= 1
    np.testing.assert_allclose(one.effect, -other.effect, atol=1e-12)
    np.testing.assert_allclose(one.p, other.p, rtol=1e-9)


def test_five_of_five_have_p_of_two_in_thirty_two():
    found = signed_ranks(np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    np.testing.assert_allclose(found.p, 2 / 32)
    assert (found.effect, found.num_pairs) == (1.0, 5)


@settings(deadline=None, max_examples=20)
@given(DIFFERENCES)
def test_p_is_that_of_scipy(differences):
    found = signed_ranks(differences)
    if differences.any():
        np.testing.assert_allclose(found.p, stats.wilcoxon(differences[differences != 0]).pvalue)
    else:
        assert found == (1.0, 0.0, len(differences))


def test_undefined_pairs_are_left_out_and_equal_ones_counted():
    found = signed_ranks(np.array([[0.1, np.nan], [0.0, 0.3]]))
    assert found == (0.5, 1.0, 3)
    assert signed_ranks(np.array([np.nan])) == (1.0, 0.0, 0)


def test_differences_of_rounding_are_none():
    assert signed_ranks(np.array([0.1 + 0.2 - 0.3, 1e-15])) == (1.0, 0.0, 2)
