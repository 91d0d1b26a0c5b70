import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from noise2map_jax.method import metrics

LABELS = hnp.arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 1, 2, 255]))
PREDICTIONS = hnp.arrays(np.int32, (3, 4, 5), elements=st.integers(0, 2))


@settings(deadline=None, max_examples=50)
@given(labels=LABELS, predictions=PREDICTIONS)
def test_matrices_equal_a_count_pixel_by_pixel(labels, predictions):
    expected = np.zeros((3, 3, 3), int)
    for i, y, x in np.ndindex(labels.shape):
        if labels[i, y, x] != 255:
            expected[i, labels[i, y, x], predictions[i, y, x]] += 1
    found = metrics.confusion_matrices(jnp.asarray(predictions), jnp.asarray(labels), 3)
    np.testing.assert_array_equal(found, expected)


def test_scores_of_a_hand_computed_case():
    # Class 1: 6 right, 2 false alarms, 4 missed.
    result = metrics.scores(np.array([[88, 2], [4, 6]]))
    np.testing.assert_allclose(result.f1[1], 12 / 18)
    np.testing.assert_allclose(result.iou[1], 6 / 12)
    np.testing.assert_allclose(result.precision[1], 6 / 8)
    np.testing.assert_allclose(result.recall[1], 6 / 10)
    np.testing.assert_allclose(result.f1[0], 176 / 182)
    np.testing.assert_allclose(result.accuracy, 0.94)


@settings(max_examples=50)
@given(hnp.arrays(np.int64, (3, 3), elements=st.integers(0, 2**40)))
def test_scores_are_consistent_and_within_bounds(confusion):
    result = metrics.scores(confusion)
    for values in (result.f1, result.iou, result.precision, result.recall):
        known = values[~np.isnan(values)]
        assert np.all((known >= 0) & (known <= 1))
    np.testing.assert_allclose(result.f1, 2 * result.iou / (1 + result.iou), rtol=1e-9)


def test_a_class_that_is_nowhere_has_no_score_rather_than_a_perfect_one():
    result = metrics.scores(np.array([[10, 0], [0, 0]]))
    assert np.isnan(result.f1[1])
    named = metrics.summary(np.array([[10, 0], [0, 0]]), ("background", "building"))
    assert np.isnan(named["f1/foreground"])
    assert named["f1/mean"] == 1.0  # of the classes that occur


def test_summary_names_every_class():
    named = metrics.summary(np.array([[5, 1, 0], [1, 3, 0], [0, 2, 4]]), ("a", "b", "c"))
    np.testing.assert_allclose(named["f1/b"], 6 / 10)
    np.testing.assert_allclose(named["f1/foreground"], (6 / 10 + 8 / 10) / 2)
    np.testing.assert_allclose(named["iou/mean"], np.mean([5 / 7, 3 / 7, 4 / 6]))
    assert len(named) == 1 + 4 * 4 + 1


def test_a_single_pixel_is_enough_for_a_score():
    result = metrics.scores(np.array([[0, 1], [0, 1]]))  # one found, one false alarm
    np.testing.assert_allclose(result.f1, [0, 2 / 3])
    np.testing.assert_allclose(result.recall, [0, 1])
    np.testing.assert_array_equal(result.precision, [np.nan, 0.5])


@pytest.mark.parametrize("classes", [("background",), ("background", "building", "road")])
def test_every_class_needs_a_name(classes):
    with pytest.raises(ValueError, match="zip"):
        metrics.summary(np.array([[5, 1], [1, 3]]), classes)


def test_labels_with_a_channel_axis_are_refused():
    predictions = jnp.zeros((4, 4, 4), int)
    with pytest.raises(AssertionError, match="shape"):
        metrics.confusion_matrices(predictions, predictions[..., None], 2)


def test_matrices_of_several_images_are_no_matrix():
    counts = np.ones((2, 2, 2), int)
    with pytest.raises(AssertionError, match="shape"):
        metrics.scores(counts)
    assert metrics.scores(counts.sum(axis=0)).accuracy == 0.5


@pytest.mark.parametrize("false_pixels", [0, 3])
def test_without_labelled_foreground_no_foreground_score_is_defined(false_pixels):
    """Else one false pixel would count as F1 0, and no mistake at all as no score."""
    confusion = np.array([[10 - false_pixels, false_pixels], [0, 0]])
    named = metrics.summary(confusion, ("background", "building"))
    assert np.isnan([named["f1/foreground"], named["recall/building"]]).all()
    assert named["accuracy"] == 1 - false_pixels / 10


def test_a_class_called_foreground_is_not_the_mean_of_the_foreground():
    confusion = np.array([[4, 0, 0], [0, 4, 0], [2, 0, 2]])
    named = metrics.summary(confusion, ("background", "foreground", "water"))
    assert named["f1/foreground"] == pytest.approx((1 + 2 / 3) / 2)
    assert named["f1/foreground (class)"] == 1
    assert named["f1/water"] == pytest.approx(2 / 3)


def test_a_class_called_mean_is_not_the_mean():
    named = metrics.summary(np.array([[4, 0], [2, 2]]), ("background", "mean"))
    assert named["f1/mean (class)"] == pytest.approx(2 / 3)
    assert named["f1/mean"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_class_that_is_nowhere_is_in_no_mean_and_one_that_is_predicted_is():
    classes = ("background", "building", "road", "water")
    confusion = np.diag([5, 3, 0, 0])
    confusion[0, 3] = 1  # predicted, so it counts: with an F1 of 0
    named = metrics.summary(confusion, classes)
    assert np.isnan(named["f1/road"])
    assert named["f1/foreground"] == pytest.approx((1 + 0) / 2)
