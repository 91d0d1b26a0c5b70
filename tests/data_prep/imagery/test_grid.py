"""Grids: the same ground by affine transforms, control points and rational polynomials."""

import dataclasses

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import (
    Grid,
    apart,
    difference,
    grid_of,
    overlap,
    rational_polynomials,
    same_grid,
    turn_onto,
)
from data_prep.imagery.turn import ALL

UTM = CRS.from_epsg(32633)
FIRST = Grid(128, 192, Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), UTM)
RPCS = RPC(
    height_off=0.0,
    height_scale=500.0,
    lat_off=45.15,
    lat_scale=0.001,
    long_off=15.0,
    long_scale=0.002,
    line_off=64.0,
    line_scale=64.0,
    samp_off=96.0,
    samp_scale=96.0,
    line_num_coeff=[0, 0, -1, 0] + [0] * 16,
    line_den_coeff=[1] + [0] * 19,
    samp_num_coeff=[0, 1, 0, 0] + [0] * 16,
    samp_den_coeff=[1] + [0] * 19,
)


def moved(columns=0.0, rows=0.0, size=1.0, turn=0.0, crs=UTM, height=128, width=192):
    change = Affine.translation(columns, rows) * Affine.rotation(turn) * Affine.scale(size)
    return Grid(height, width, FIRST.transform * change, crs)


def with_points(bend=0.0):
    """Control points at the corners and the middle, which may be bent off the plane."""
    points = [
        (float(r), float(c), 500_000 + 0.5 * c + bend * (r == 64), 5_000_000 - 0.5 * r, 0.0)
        for r, c in ((0, 0), (0, 192), (128, 0), (128, 192), (64, 96), (0, 96), (64, 0))
    ]
    return Grid(128, 192, FIRST.transform, UTM, points=tuple(points))


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_a_shift_is_measured_in_pixels(columns, rows):
    distance = float(np.hypot(columns, rows))
    assert apart(FIRST, moved(columns, rows)) == pytest.approx(distance, abs=1e-4)
    assert same_grid(FIRST, moved(columns, rows)) == (apart(FIRST, moved(columns, rows)) < 0.1)


def test_a_wrong_pixel_size_counts_at_the_far_corner():
    assert apart(FIRST, moved(size=1.001)) == pytest.approx(np.hypot(128, 192) / 1000, rel=1e-3)
    assert not same_grid(FIRST, moved(turn=0.05))
    assert same_grid(FIRST, moved(turn=0.01))


@pytest.mark.parametrize(
    "crs",
    [
        CRS.from_wkt(UTM.to_wkt()),
        CRS.from_proj4("+proj=utm +zone=33 +datum=WGS84 +units=m"),
        CRS.from_epsg(25833),  # ETRS89: the same ground but for centimetres
    ],
)
def test_other_names_of_one_crs_are_the_same_grid(crs):
    assert same_grid(FIRST, moved(crs=crs))


def test_another_zone_is_another_place():
    other = moved(crs=CRS.from_epsg(32634))
    assert not same_grid(FIRST, other)
    assert not overlap(FIRST, other)
    assert "CRS EPSG:32634 instead of EPSG:32633" in difference(FIRST, other)
    assert "no common ground" in difference(FIRST, other)


def test_control_points_are_compared_with_a_transform_and_with_each_other():
    assert same_grid(FIRST, with_points())
    assert same_grid(with_points(), FIRST)
    assert not same_grid(FIRST, with_points(bend=20.0))
    assert not same_grid(with_points(), with_points(bend=20.0))
    # Of the image and of its map: nothing else than the value of no data differs.
    bent = with_points(bend=20.0)
    assert same_grid(bent, dataclasses.replace(bent, nodata=255.0))
    assert "first pixel" in difference(moved(7), with_points())


def test_a_file_tells_its_control_points_and_its_rational_polynomials(tmp_path):
    profile = {"driver": "GTiff", "height": 128, "width": 192, "count": 1, "dtype": "uint8"}
    points = [
        GroundControlPoint(r, c, 500_000 + c / 2, 5e6 - r / 2) for r in (0, 128) for c in (0, 192)
    ]
    with rasterio.open(tmp_path / "a.tif", "w", **profile, gcps=points, crs=UTM):
        pass
    with rasterio.open(tmp_path / "b.tif", "w", **profile, rpcs=RPCS):
        pass
    with rasterio.open(tmp_path / "a.tif") as source:
        grid = grid_of(source)
    assert len(grid.points) == 4
    assert same_grid(FIRST, grid)
    with rasterio.open(tmp_path / "b.tif") as source:
        grid = grid_of(source)
    assert rational_polynomials(grid).long_off == 15.0
    across, down = 0.002 / 192, 0.001 / 128  # Half a pixel: the polynomials speak of centres.
    expected = [[14.998 - across, 45.151 + down], [15.002 - across, 45.149 + down]]
    corner = grid.coordinates(np.array([0.0, 192.0]), np.array([0.0, 128.0]))
    np.testing.assert_allclose(corner, expected, rtol=0, atol=1e-7)
    np.testing.assert_allclose(grid.pixels(corner), [[0, 0], [192, 128]], atol=0.05)
    affine = Grid(128, 192, grid.transform, grid.crs)
    assert same_grid(grid, affine)
    with pytest.raises(ReadError, match="rational polynomials, which cannot be mirrored"):
        grid.turned(ALL[1])


@pytest.mark.parametrize("turn", ALL)
def test_a_turned_image_is_brought_back(turn):
    for grid in (FIRST, with_points()):
        found = turn_onto(grid.turned(turn), FIRST)
        pixels = np.arange(128 * 192).reshape(128, 192)
        np.testing.assert_array_equal(found.apply(turn.apply(pixels)), pixels)


def test_what_no_turn_brings_back_is_none():
    assert turn_onto(moved(1), FIRST) is None
    assert turn_onto(moved(size=2), FIRST) is None
    assert turn_onto(moved(width=191), FIRST) is None


def test_a_file_without_a_georeference_may_lie_anywhere():
    nowhere = Grid(128, 192, Affine.identity(), None)
    assert same_grid(FIRST, nowhere)
    assert turn_onto(nowhere, FIRST) == ALL[0]
    assert turn_onto(Grid(192, 128, Affine.identity(), None), FIRST) is None
    assert not same_grid(moved(crs=None), moved(columns=3, crs=None))


def test_the_difference_names_what_counts():
    assert difference(FIRST, moved()) == "no difference"
    assert difference(FIRST, moved(20)) == "first pixel +20.00 columns and +0.00 rows away"
    assert difference(FIRST, moved(size=2)) == "pixels of 2 x 2 pixels"
    assert "turned by 30 degrees" in difference(FIRST, moved(turn=30))
    assert "pixels of" not in difference(FIRST, moved(turn=30))
    assert "150 x 128 pixels instead of 192 x 128" in difference(FIRST, moved(width=150))
    assert difference(FIRST, moved(5000)).endswith("no common ground")


def test_the_antimeridian_is_no_distance():
    wgs84 = CRS.from_epsg(4326)
    east = Grid(100, 100, Affine(1e-5, 0, 179.9999, 0, -1e-5, 0), wgs84)
    west = Grid(100, 100, Affine(1e-5, 0, -180.0001, 0, -1e-5, 0), wgs84)
    assert same_grid(east, west)


def test_a_degenerate_transform_is_refused(tmp_path):
    profile = {"driver": "GTiff", "height": 2, "width": 2, "count": 1, "dtype": "uint8"}
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", **profile, crs=UTM, transform=Affine(0.5, 0, 9, 0.5, 0, 9)):
        pass
    with rasterio.open(path) as source, pytest.raises(ReadError, match="degenerate"):
        grid_of(source)
