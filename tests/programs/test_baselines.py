import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax import baselines


def record(values, mask):
    image = np.repeat(np.array(values, np.uint8)[..., None], 3, axis=-1)
    return {"image": image, "mask": np.array(mask, np.uint8)[..., None]}


def feature(r):
    return baselines.brightness(r, (0.0, 255.0))


def test_levels_are_counted_by_class_without_ignored_pixels():
    counts = baselines.count_levels([record([[10, 10, 200]], [[0, 255, 1]])], feature)
    assert counts.sum() == 2
    assert counts[0, 10] == counts[1, 200] == 1


def test_dark_foreground_is_found_too():
    counts = baselines.count_levels([record([[10, 20, 200]], [[1, 1, 0]])], feature)
    threshold, above = baselines.fit_threshold(counts)
    assert not above
    assert 20 < threshold <= 200
    np.testing.assert_array_equal(
        baselines.confusion_of_threshold(counts, threshold, above), [[1, 0], [0, 2]]
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_threshold_is_better_than_the_fitted_one(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, (2, baselines.NUM_LEVELS))
    best = baselines.fit_threshold(counts)

    def f1(option):
        (_, fp), (fn, tp) = baselines.confusion_of_threshold(counts, *option)
        return 2 * tp / (2 * tp + fp + fn)

    for t in range(0, 257, 16):
        assert f1((t, True)) <= f1(best)
        assert f1((t, False)) <= f1(best)


def test_difference_is_that_of_the_dates():
    pre, post = np.zeros((1, 2, 3), np.uint8), np.full((1, 2, 3), 255, np.uint8)
    levels = baselines.difference({"pre": pre, "post": post}, (0.0, 255.0))
    np.testing.assert_array_equal(levels, [[255, 255]])
