import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from noise2map_jax.evaluation.probability_histogram import ProbabilityHistogram

BINS = 8


@given(arrays.arrays(np.int64, (2, BINS), elements=st.integers(0, 5)))
def test_f1_is_that_of_the_pixels_above_each_threshold(counts):
    labels, bins = (a.ravel() for a in np.indices(counts.shape))
    truth = np.repeat(labels, counts.ravel())
    probabilities = np.repeat(bins, counts.ravel()) / BINS
    found = ProbabilityHistogram(counts)
    if not truth.any():
        assert np.isnan(found.f1()).all()
        assert np.isnan(found.best()).all()
        return
    expected = []
    for k in range(BINS):
        chosen = probabilities >= k / BINS
        expected.append(2 * (chosen & (truth == 1)).sum() / (chosen.sum() + truth.sum()))
    np.testing.assert_allclose(found.f1(), expected)
    threshold, f1 = found.best()
    assert 0 < threshold < 1
    assert f1 == max(expected[1:]) == expected[round(threshold * BINS)] == found.f1_at(threshold)


def test_of_equally_good_thresholds_the_middle_is_taken():
    counts = np.zeros((2, 10), int)
    counts[0, 1], counts[1, 8] = 5, 5
    assert ProbabilityHistogram(counts).best() == (0.5, 1.0)


@given(arrays.arrays(np.int64, (2, 40), elements=st.integers(0, 5)))
def test_reliability_is_that_of_single_pixels(counts):
    labels, bins = (a.ravel() for a in np.indices(counts.shape))
    truth = np.repeat(labels, counts.ravel())
    probabilities = (np.repeat(bins, counts.ravel()) + 0.5) / 40
    found = ProbabilityHistogram(counts).reliability(num_groups=4)
    group, error = (probabilities * 4).astype(int), 0.0
    for k in range(4):
        chosen = group == k
        assert found.pixels[k] == chosen.sum()
        if not chosen.any():
            assert np.isnan([found.predicted[k], found.found[k]]).all()
            continue
        np.testing.assert_allclose(found.predicted[k], probabilities[chosen].mean())
        np.testing.assert_allclose(found.found[k], truth[chosen].mean())
        error += chosen.mean() * abs(probabilities[chosen].mean() - truth[chosen].mean())
    if len(truth):
        np.testing.assert_allclose(found.error, error, atol=1e-12)


def test_a_split_without_pixels_has_no_error():
    found = ProbabilityHistogram(np.zeros((2, 40), int)).reliability()
    assert np.isnan(found.error)
