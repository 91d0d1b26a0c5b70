"""Pairs on different grids are brought onto the first's, or refused by a line that says why."""

import dataclasses
import itertools
import shlex

import numpy as np
import opened_images
import pytest
from opened_images import noise
from PIL import Image
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from rasterio.windows import Window

from noise2map_jax.errors import UserError
from noise2map_jax.mapping import pair, scene

BLANK = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def opened(tmp_path):
    with opened_images.opener(tmp_path) as write:
        yield write


@pytest.mark.parametrize(
    ("pixels", "options", "words"),
    [
        (BLANK[:, :7], {}, "7 x 8 pixels instead of 8 x 8"),
        (BLANK, {"transform": from_origin(5e5 + 1, 4e6, 0.5, 0.5)}, r"first pixel \+2.00 columns"),
        (BLANK, {"transform": from_origin(5e5, 4e6, 1.0, 1.0)}, "pixels of 2 x 2 pixels"),
    ],
)
def test_strict_refuses_what_is_otherwise_warped(opened, tmp_path, pixels, options, words):
    a, b = opened((BLANK, {}), (pixels, options))
    assert pair.aligned([a, a], strict=True) == ([a, a], [])
    with pytest.raises(UserError, match=words) as error:
        pair.aligned([a, b], strict=True)
    command = f"warp --image={tmp_path}/b.tif --onto={tmp_path}/a.tif --output=WARPED.tif"
    assert command in str(error.value)
    (_, warped), _ = pair.aligned([a, b])
    assert warped.grid == a.grid


def test_a_pair_is_warped_over_its_common_ground(opened):
    pixels = noise(40, 50)
    degrees = Affine(5e-6, 0, -87.0002, 0, -5e-6, 36.14)
    a, b = opened((BLANK, {}), (pixels, {"crs": "EPSG:4326", "transform": degrees}))
    with pytest.raises(UserError, match="no ground in common"):
        pair.aligned([a, b])
    moved = {"transform": from_origin(5e5 + 5.2, 4e6 - 3.1, 1.0, 1.0)}
    a, b = opened((noise(60, 80, 1), {}), (noise(40, 50), moved))
    (first, second), (note,) = pair.aligned([a, b])
    assert first is a
    assert second.grid == a.grid
    assert note == (
        f"{b.path} has 50 x 40 pixels instead of 80 x 60, pixels of 2 x 2 pixels, first pixel"
        f" +10.40 columns and +6.20 rows away; it is warped by cubic interpolation onto the grid of"
        f" {a.path}, of which it covers 79%"
    )
    raster = second.read()
    assert raster.valid.mean() == pytest.approx(0.79, abs=0.005)
    assert not raster.valid[:6].any()
    assert raster.valid[7:, 11:].all()
    np.testing.assert_array_equal(second.read((20, 30, 8, 9)).pixels, raster.pixels[20:28, 30:39])


def test_no_data_of_either_image_stays(opened):
    pixels = noise(40, 40)
    pixels[10:20, 10:20] = 0
    shifted = {"transform": from_origin(5e5 + 1.75, 4e6, 0.5, 0.5), "nodata": 0}
    a, b = opened((pixels, {"nodata": 0}), (pixels, shifted))
    (first, second), _ = pair.aligned([a, b])
    assert not first.read().valid[10:20, 10:20].any()
    valid = second.read().valid
    assert not valid[10:20, 14:23].any()
    assert not valid[:, :3].any()
    assert valid[:10, 5:].all()


def test_whole_pixels_are_moved(opened):
    pixels = noise(40, 40)
    a, b = opened(
        (pixels[:30, 7:], {}), (pixels, {"transform": from_origin(5e5 - 3.5, 4e6, 0.5, 0.5)})
    )
    (_, second), (note,) = pair.aligned([a, b])
    assert "it is moved by whole pixels onto the grid of" in note
    assert note.endswith("covers 99% or more")
    raster = second.read()
    assert raster.valid is None
    np.testing.assert_array_equal(raster.pixels, pixels[:30, 7:])


def test_without_common_ground_both_bounds_are_told(opened):
    a, b = opened(
        (BLANK, {}), (BLANK, {"crs": "EPSG:4326", "transform": from_origin(8, 50, 1e-5, 1e-5)})
    )
    with pytest.raises(UserError) as error:
        pair.aligned([a, b])
    message = str(error.value)
    assert "have no ground in common" in message
    assert "x 500000 to 500004, y 3999996 to 4000000 of EPSG:32616" in message
    assert message.count("EPSG:32616") == 2
    a, b = opened((BLANK, {}), (BLANK, {"transform": from_origin(5e5 + 4, 4e6, 0.5, 0.5)}))
    with pytest.raises(UserError, match="no ground in common"):  # It begins where the first ends.
        pair.aligned([a, b])


def test_a_thin_strip_in_common_is_found(opened):
    a, b = opened(
        (np.zeros((1500, 900, 1), np.uint8), {}),
        (BLANK, {"transform": from_origin(5e5 + 449.5, 4e6 - 300.2, 0.5, 0.5)}),
    )
    (_, second), (note,) = pair.aligned([a, b])
    assert note.endswith("covers less than 1%")
    assert second.read((600, 890, 10, 10)).valid.sum() == 8


def test_coordinates_without_a_crs_are_taken_as_the_others(opened):
    moved = {"transform": from_origin(5e5 + 1, 4e6 - 1.2, 0.5, 0.5), "crs": None}
    a, b = opened((noise(20, 20), {}), (noise(20, 20), moved))
    _, (told, note) = pair.aligned([a, b])
    assert told == f"{b.path} names no CRS; that of {a.path} is taken to be its own"
    assert note.endswith("covers 81%")  # 18 of 20 columns and of 20 rows
    _, (told, _) = pair.aligned([b, a])
    assert told == f"{b.path} names no CRS; that of {a.path} is taken to be its own"


def by_points(bend):
    """Return options that place 20 x 20 pixels by control points."""
    points = [
        GroundControlPoint(row, col, 5e5 + 0.5 * col + bend * row**2, 4e6 - 0.5 * row, 0)
        for row in (0, 10, 20)
        for col in (0, 10, 20)
    ]
    return {"gcps": points, "transform": None}


def test_a_first_image_by_control_points(opened):
    moved = {"transform": from_origin(5e5 + 0.7, 4e6, 0.5, 0.5)}
    pixels = noise(20, 20)
    plain, other, straight, bent = opened(
        (pixels, {}), (pixels, moved), (pixels, by_points(0.0)), (pixels, by_points(0.01))
    )
    # Points that are an affine transform are one.
    (_, one), _ = pair.aligned([straight, other])
    (_, two), _ = pair.aligned([plain, other])
    assert one.grid == straight.grid
    assert one.grid.points
    np.testing.assert_array_equal(one.read().pixels, two.read().pixels)
    (_, third), (note,) = pair.aligned([plain, bent])
    assert "warped by cubic" in note
    assert third.read().valid.mean() > 0.5
    with pytest.raises(UserError) as error:
        pair.aligned([bent, plain])
    assert "lies by control points, which are no grid to warp onto" in str(error.value)
    options = shlex.split(str(error.value).split("; ")[1])
    assert f"--image={bent.path}" in options
    assert f"--onto={plain.path}" in options
    again = dataclasses.replace(bent, grid=dataclasses.replace(bent.grid, height=19))
    with pytest.raises(UserError, match="warp both images onto one that has a plain transform"):
        pair.aligned([bent, again])
    assert pair.aligned([bent, bent]) == ([bent, bent], [])


def test_a_turned_date_is_turned_back_by_windows(opened):
    pixels = noise(10, 14)
    south_up = Affine(0.5, 0, 5e5, 0, 0.5, 4e6 - 5)
    first, other = opened((pixels, {}), (pixels[::-1], {"transform": south_up}))
    (_, turned), notes = pair.aligned([first, other], strict=True)
    assert notes == [f"{other.path} is mirrored top to bottom to lie on the grid of {first.path}"]
    for row, column in itertools.product((-2, 2, 6), (-2, 2, 6, 10)):
        window = Window(column, row, 8, 8)
        for one, two in zip(
            scene.read_block(first, window), scene.read_block(turned, window), strict=True
        ):
            np.testing.assert_array_equal(one, two)


def test_a_date_that_does_not_say_where_it_lies_is_noted(opened, tmp_path):
    (first,) = opened((BLANK, {}))
    for name, pixels in (("b", BLANK), ("c", BLANK[:, 1:])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    with scene.open_image(str(tmp_path / "b.png")) as other:
        _, notes = pair.aligned([first, other])
    assert "b.png does not say where it lies" in notes[0]
    with (
        scene.open_image(str(tmp_path / "c.png")) as other,
        pytest.raises(UserError, match="differ in size: 8 x 8 and 8 x 7"),
    ):
        pair.aligned([first, other])
