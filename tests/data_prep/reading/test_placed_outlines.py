import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from outline_files import save
from rasterio import Affine
from rasterio.crs import CRS

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid, reprojected
from data_prep.imagery.turn import EXIF
from data_prep.reading import rasters
from data_prep.reading.outlines import read_outlines
from data_prep.reading.placed_outlines import place_outlines

UTM, DEGREES = CRS.from_epsg(32616), CRS.from_epsg(4326)
NORTH = Grid(400, 300, Affine(0.5, 0, 6e5, 0, -0.5, 7e6), UTM)  # at 63 degrees, beside the meridian
PLAIN = Grid(90, 80, Affine.identity(), None)


def drawn(placed, grid):
    return placed.classes(placed.drawn((0, 0, grid.height, grid.width)))


def centres(grid):
    rows, columns = np.mgrid[: grid.height, : grid.width] + 0.5
    return grid.coordinates(columns.ravel(), rows.ravel())


@pytest.mark.parametrize("half", [0.01, 0.05, 0.25, 1, 5, 60])
def test_straight_lines_of_another_crs_are_curves_on_the_image(tmp_path, half):
    """The lower edge of a box in degrees runs through the image."""
    (x, y), *_ = reprojected(np.array([[6e5 + 75, 7e6 - 100]]), UTM, DEGREES)
    shape = shapely.box(x - half, y, x + half, y + min(half, 20))
    path = save(tmp_path / "a.gpkg", [shape], crs="EPSG:4326")
    points = reprojected(centres(NORTH), UTM, DEGREES)
    expected = shapely.contains_xy(shape, *points.T).reshape(NORTH.height, NORTH.width)
    assert 0.4 < expected.mean() < 0.6
    found = drawn(place_outlines(read_outlines(path), NORTH), NORTH)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("world", [(-180, -90, 180, 90), (-2e7, -2e7, 2e7, 2e7)])
def test_the_whole_world_holds_every_image(tmp_path, world):
    crs = "EPSG:4326" if world[0] == -180 else "EPSG:3857"
    path = save(tmp_path / "a.gpkg", [shapely.box(*world)], crs=crs)
    assert drawn(place_outlines(read_outlines(path), NORTH), NORTH).all()


@pytest.mark.parametrize("left", [179.9996, -180.0004])
def test_outlines_on_both_sides_of_the_date_line_meet(tmp_path, left):
    grid = Grid(40, 80, Affine(1e-5, 0, left, 0, -1e-5, 10), DEGREES)
    west = shapely.box(179.9997, 9.9997, 180, 9.9999)  # columns 10 to 39, rows 10 to 29
    east = shapely.box(-180, 9.9997, -179.9998, 9.9999)  # columns 40 to 59
    path = save(tmp_path / "a.gpkg", [west, east], crs="EPSG:4326")
    placed = place_outlines(read_outlines(path), grid)
    expected = np.zeros((40, 80), int)
    expected[10:30, 10:40], expected[10:30, 40:60] = 1, 2
    np.testing.assert_array_equal(placed.drawn((0, 0, 40, 80)), expected)
    assert placed.indices.tolist() == [0, 1]


@pytest.mark.parametrize("tag", EXIF)
def test_outlines_over_a_photo_as_qgis_shows_it_are_turned_with_it(tmp_path, tag):
    turn = EXIF[tag]
    stored = np.zeros((90, 80), np.uint8)
    stored[20:60, 10:30] = 1
    path = save(tmp_path / "a.gpkg", [shapely.box(10, -60, 30, -20)], crs=None)
    grid = Grid(*turn.size(90, 80), Affine.identity(), None)
    placed = place_outlines(read_outlines(path), grid, turn)
    np.testing.assert_array_equal(drawn(placed, grid), turn.apply(stored))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([7, 16, 33]))
def test_outlines_of_many_corners_are_drawn_alike_in_any_windows(tmp_path_factory, seed, size):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 400))
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(10, 45, (400, 1)) + 40
    folder = tmp_path_factory.mktemp("many")
    placed = place_outlines(
        read_outlines(save(folder / "a.gpkg", [shapely.Polygon(points)], crs=None)), PLAIN
    )
    found = np.zeros((90, 80), int)
    for row in range(0, 90, size):
        for column in range(0, 80, size):
            window = row, column, min(size, 90 - row), min(size, 80 - column)
            part = placed.drawn(window)
            found[row : row + size, column : column + size] = part
    points = centres(PLAIN) + rasters._NUDGE  # where pixels are asked
    expected = shapely.contains_xy(placed.shapes[0], *points.T).reshape(90, 80)
    np.testing.assert_array_equal(found, expected)


def test_the_last_of_several_outlines_shows(tmp_path):
    shapes = [shapely.box(10, 10, 40, 40), shapely.box(200, 0, 210, 9), shapely.box(20, 20, 50, 30)]
    placed = place_outlines(read_outlines(save(tmp_path / "a.gpkg", shapes, crs=None)), PLAIN)
    assert placed.indices.tolist() == [0, 2]  # the second meets no pixel
    numbers = placed.drawn((0, 0, 90, 80))
    assert (numbers[15, 15], numbers[25, 25], numbers[25, 45], numbers[60, 60]) == (1, 2, 2, 0)


def test_an_outline_that_cannot_be_repaired_is_named(tmp_path):
    points = np.random.default_rng(0).uniform(0, 50, (700, 2))
    shapes = [shapely.box(0, 0, 9, 9), shapely.Polygon(points)]
    path = save(tmp_path / "a.gpkg", shapes, crs=None)
    with pytest.raises(ReadError, match=r"feature 2 of .*a\.gpkg, which has an invalid polygon of"):
        place_outlines(read_outlines(path), PLAIN)
