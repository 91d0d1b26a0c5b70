import numpy as np
import pytest
import shapely
from class_maps import burn
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from noise2map_jax.polygons.regions import regions


def cut(classes, heights, values=None):
    """Cut a map into strips of the heights, over and over."""
    top, number = 0, 0
    while top < len(classes):
        rows = slice(top, top + heights[number % len(heights)])
        yield classes[rows], None if values is None else values[rows]
        top, number = rows.stop, number + 1


def found(classes, heights, values=None):
    parts = list(regions(cut(np.array(classes, np.uint8), heights, values)))
    return tuple(
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("polygons", "classes", "means")
    )


def by_place(polygons):
    """Bring polygons and their rings into one order, so that equal ones are equal."""
    return sorted(polygon.normalize().wkt for polygon in polygons)


maps = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 2)
)
strips = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@given(classes=maps, heights=strips)
@settings(max_examples=150)
def test_burnt_back_the_polygons_give_the_map_whatever_the_strips(classes, heights):
    polygons, indices, _ = found(classes, heights)
    assert shapely.is_valid(polygons).all()
    assert all(polygon.geom_type == "Polygon" for polygon in polygons)
    np.testing.assert_array_equal(burn(polygons, indices, classes.shape), classes)
    # One polygon each, with no point more than one cut needs.
    assert by_place(polygons) == by_place(found(classes, [len(classes)])[0])
    assert len(polygons) == sum(ndimage.label(classes == k)[1] for k in (1, 2))


@given(classes=maps, heights=strips, seed=st.integers(0, 99))
@settings(max_examples=50)
def test_the_mean_is_that_of_the_pixels_of_the_region(classes, heights, seed):
    values = np.random.default_rng(seed).random(classes.shape).astype(np.float32)
    values[values < 0.2] = np.nan
    polygons, indices, means = found(classes, heights, values)
    for polygon, index, mean in zip(polygons, indices, means, strict=True):
        inside = burn([polygon], [1], classes.shape) == 1
        assert (classes[inside] == index).all()
        if np.isfinite(values[inside]).any():
            assert mean == pytest.approx(np.nanmean(values[inside], dtype=float), rel=1e-9)
        else:
            assert np.isnan(mean)


def test_without_a_second_image_there_is_no_mean():
    assert np.isnan(found([[1, 0, 1]], [1])[2]).all()


def test_corners_do_not_connect():
    assert len(found([[1, 0], [0, 1]], [2])[0]) == 2
    assert len(found([[1, 0], [0, 1]], [1])[0]) == 2


@pytest.mark.parametrize("height", [1, 2, 9])
def test_holes_stay_open_and_what_lies_in_them_is_a_polygon(height):
    classes = np.ones((9, 9), int)
    classes[2:7, 2:7] = 0
    classes[4, 4] = 1
    polygons, _, _ = found(classes, [height])
    ring, island = sorted(polygons, key=shapely.area, reverse=True)
    assert (ring.area, len(ring.interiors), island.area) == (81 - 25, 1, 1)


@pytest.mark.parametrize("height", [1, 3, 100])
def test_arms_that_meet_only_in_the_last_row_are_one_polygon(height):
    classes = np.zeros((100, 9), int)
    classes[:, ::4] = 1
    classes[-1] = 1
    polygons, _, _ = found(classes, [height])
    assert [polygon.area for polygon in polygons] == [3 * 100 + 6]
    assert len(polygons[0].exterior.coords) - 1 == 12  # no point where strips met


def test_classes_that_touch_are_not_joined():
    polygons, indices, _ = found([[1, 1], [2, 2], [1, 1]], [1])
    assert sorted(indices) == [1, 1, 2]
    assert (shapely.area(polygons) == 2).all()


def test_complete_regions_come_before_the_next_strip_is_read():
    read = []

    def watched():
        for row in ([[1, 0, 1]], [[1, 0, 0]], [[0, 0, 0]], [[0, 1, 0]]):
            read.append(row)
            yield np.array(row, np.uint8), None

    come = [(len(read), len(part)) for part in regions(watched())]
    # The right one ends in the first row, which the second tells; the left one in the second.
    assert [(rows, count) for rows, count in come if count] == [(2, 1), (3, 1), (4, 1)]
