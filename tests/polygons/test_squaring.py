import numpy as np
import pytest
import shapely
from class_maps import burn
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from noise2map_jax.polygons.regions import regions
from noise2map_jax.polygons.squaring import LEAST_OVERLAP, squared

NORTH_UP = np.array([[0.5, 0.0], [0.0, -0.5]])


def overlap(a, b):
    return a.intersection(b).area / a.union(b).area


def as_pixels(shape, size=128):
    """The largest polygon of what a shape looks like in pixels."""
    (found,) = [r for r in regions([(burn([shape], [1], (size, size)), None)]) if len(r)]
    return max(found.polygons, key=shapely.area)


def angles(polygon, axes):
    """Angles between the edges that follow each other, on the ground, in degrees."""
    points = shapely.get_coordinates(polygon.exterior) @ axes.T
    edges = np.diff(points, axis=0)
    heading = np.degrees(np.arctan2(edges[:, 1], edges[:, 0]))
    return np.abs((np.diff(heading) + 180) % 360 - 180)


@given(
    angle=st.floats(0, 90),
    width=st.floats(20, 40),
    length=st.floats(20, 40),
    shift=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=60)
def test_slanting_houses_get_their_four_corners_back(angle, width, length, shift):
    house = affinity.rotate(shapely.box(0, 0, width, length), angle)
    house = affinity.translate(house, 50 + shift[0], 50 + shift[1])
    pixels = as_pixels(house)
    result = squared(pixels, NORTH_UP, 1.5)
    assert len(result.exterior.coords) - 1 == 4
    np.testing.assert_allclose(angles(result, NORTH_UP), 90, atol=1e-6)
    assert overlap(result, house) > 0.8


def test_an_l_and_its_court_keep_their_corners():
    court = shapely.box(5, 5, 15, 30)
    house = shapely.box(0, 0, 60, 40).difference(shapely.box(30, 20, 60, 40)).difference(court)
    house = affinity.translate(affinity.rotate(house, 33, origin=(0, 0)), 50, 20)
    result = squared(as_pixels(house), NORTH_UP, 1.0)
    assert len(result.exterior.coords) - 1 == 6
    (hole,) = result.interiors
    assert len(hole.coords) - 1 == 4
    np.testing.assert_allclose(angles(shapely.Polygon(hole), NORTH_UP), 90, atol=1e-6)
    assert overlap(result, house) > 0.93


def test_angles_are_right_on_the_ground_and_not_in_pixels():
    axes = np.array([[0.5, 0.0], [0.0, -1.0]])  # degrees at 60 degrees north
    house = affinity.rotate(shapely.box(20, 20, 50, 40), 30)  # metres
    pixels = as_pixels(affinity.affine_transform(house, [2, 0, 0, -1, 0, 80]))
    result = squared(pixels, axes, 1.0)
    np.testing.assert_allclose(angles(result, axes), 90, atol=1e-6)
    east, north = np.diff(shapely.get_coordinates(result.exterior), axis=0)[0] @ axes.T
    off = (np.degrees(np.arctan2(north, east)) - 30 + 45) % 90 - 45
    assert off == pytest.approx(0, abs=3)


def test_the_tolerance_is_in_pixels_whatever_they_measure():
    pixels = as_pixels(affinity.rotate(shapely.box(20, 20, 60, 50), 20))
    for metres in (0.01, 30):
        result = squared(pixels, NORTH_UP * metres, 1.1)
        assert result.equals_exact(squared(pixels, NORTH_UP, 1.1), 1e-6)


def test_what_is_not_square_is_left_alone():
    star = shapely.Polygon(
        [
            (64 + r * np.cos(a), 64 + r * np.sin(a))
            for a, r in zip(np.linspace(0, 2 * np.pi, 15)[:-1], [50, 12] * 7, strict=True)
        ]
    )
    assert squared(as_pixels(star), NORTH_UP, 1.0) is None
    triangle = shapely.Polygon([(0, 0), (30, 0), (0, 30)])
    result = squared(triangle, NORTH_UP, 1.0)
    assert result is None or overlap(result, triangle) >= LEAST_OVERLAP


def test_what_is_too_small_to_show_a_direction_is_left_alone():
    assert squared(shapely.box(3, 4, 4, 5), NORTH_UP, 1.0) is None
