import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from noise2map_jax.method import metrics
from noise2map_jax.method.foreground_scores import foreground_f1, foreground_iou


@settings(max_examples=50)
@given(hnp.arrays(np.int64, (2, 3, 4, 4), elements=st.integers(0, 3)))
def test_foreground_scores_are_those_of_evaluation(confusions):
    f1, iou = foreground_f1(confusions), foreground_iou(confusions)
    for index in np.ndindex(2, 3):
        expected = metrics.summary(confusions[index], tuple("abcd"))
        np.testing.assert_allclose(f1[index], expected["f1/foreground"], rtol=1e-12)
        ious = np.array([expected[f"iou/{name}"] for name in "bcd"])
        if np.isnan(f1[index]):
            assert np.isnan(iou[index])
        else:
            np.testing.assert_allclose(iou[index], np.nanmean(ious), rtol=1e-12)


def test_foreground_scores_of_a_hand_computed_case():
    # Class 1: 6 right, 2 false alarms, 4 missed; class 2 is nowhere, and is left out.
    confusion = np.array([[88, 2, 0], [4, 6, 0], [0, 0, 0]])
    np.testing.assert_allclose(foreground_f1(confusion), 12 / 18)
    np.testing.assert_allclose(foreground_iou(confusion), 6 / 12)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [([[9, 0], [1, 0]], 0.0), ([[9, 0], [0, 1]], 1.0)],
)
def test_a_single_labelled_pixel_is_enough_for_a_score(confusion, expected):
    np.testing.assert_array_equal(foreground_f1(np.array(confusion)), expected)


def test_where_no_foreground_is_labelled_nothing_is_defined():
    confusions = np.array([[[7, 3], [0, 0]], [[10, 0], [0, 0]], [[5, 3], [1, 1]]])
    np.testing.assert_allclose(foreground_f1(confusions), [np.nan, np.nan, 1 / 3])
    np.testing.assert_allclose(foreground_iou(confusions), [np.nan, np.nan, 1 / 5])
