"""Pairs on different grids are brought onto the first's, or refused by a line that says why."""

import builtins
import contextlib
import dataclasses
import shlex

import numpy as np
import pytest
import rasterio
from PIL import Image
from raster_files import write_tiff
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from scipy import ndimage

from data_prep.drawing.scenes import change_scene
from data_prep.imagery.grid import Grid
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import pair, scene
from noise2map_jax.mapping.registration import Registration, measured, metres

PLACE = {"crs": "EPSG:32616", "transform": from_origin(5e5, 4e6, 0.5, 0.5)}
BLANK = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def opened(tmp_path):
    """Write images as a.tif, b.tif, ... and open them."""
    with contextlib.ExitStack() as stack:

        def write(*images):
            found = []
            for name, (pixels, options) in zip("abcd", images, strict=False):
                path = write_tiff(tmp_path / f"{name}.tif", pixels, **{**PLACE, **options})
                found.append(stack.enter_context(scene.open_image(str(path))))
            return found

        yield write


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3)).astype(np.uint8)


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
    for block in scene.blocks(10, 14, 8, 2):
        for one, two in zip(
            scene.read_block(first, block.read), scene.read_block(turned, block.read), strict=True
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


# The shift between the dates.
SHIFT = (0.3, -1.7)  # Columns and rows.


def sampled(fine, shift=(0.0, 0.0)):
    """Sample a drawing at half its resolution; things lie `shift` pixels away."""
    moved = ndimage.shift(
        fine.astype(float), (2 * shift[1], 2 * shift[0], 0), order=1, mode="nearest"
    )
    side = (len(fine) - 40) // 2
    cut = moved[20 : 20 + 2 * side, 20 : 20 + 2 * side]
    return np.round(cut.reshape(side, 2, side, 2, 3).mean((1, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def dates():
    pre, post, mask = change_scene(np.random.default_rng(0), 500, share=(0.1, 0.2))
    assert mask.mean() > 0.05
    return pre, post


def test_a_known_shift_is_found_and_taken_out(opened, dates):
    pytest.importorskip("skimage", reason="extra gis")
    pre, _ = dates
    a, b = opened((sampled(pre), {}), (sampled(pre, SHIFT), {}))
    found = measured(a, b)
    np.testing.assert_allclose(found.shift, SHIFT, atol=0.05)
    assert found.num_agreeing == found.num_windows >= 9
    (_, same), (note,) = pair.aligned([a, b], register="report")
    assert same is b
    assert "columns and -1.7" in note
    assert "(0.86 m)" in note
    assert note.endswith("--register=apply takes it out")
    (_, moved), (note,) = pair.aligned([a, b], register="apply")
    assert note.endswith("taken out")
    np.testing.assert_allclose(measured(a, moved).shift, (0, 0), atol=0.05)
    one, two = a.read().pixels[3:-3, 3:-3].astype(float), moved.read().pixels[3:-3, 3:-3]
    assert np.abs(one - two).mean() < 0.3 * np.abs(one - b.read().pixels[3:-3, 3:-3]).mean()


def test_a_shift_is_found_on_another_grid_and_between_changed_dates(opened, dates):
    pytest.importorskip("skimage", reason="extra gis")
    pre, post = dates
    east = {"transform": from_origin(5e5 + 1.7, 4e6, 0.5, 0.5)}
    a, still, off, far = opened(
        (sampled(pre), {}),
        (sampled(post), {}),
        (sampled(post, SHIFT), {}),
        (sampled(post, SHIFT), east),
    )
    own = measured(a, still)  # The drawing's own shift between dates.
    found = measured(a, off)
    assert found.is_clear
    np.testing.assert_allclose(np.subtract(found.shift, own.shift), SHIFT, atol=0.05)
    (_, moved), notes = pair.aligned([a, far], register="apply")
    assert "warped by cubic" in notes[0]
    assert notes[1].endswith("taken out")
    # Other windows agree now, which the changes move a little.
    np.testing.assert_allclose(measured(a, moved).shift, (0, 0), atol=0.2)


def test_large_whole_shifts_are_found(opened, dates):
    pytest.importorskip("skimage", reason="extra gis")
    pre, _ = dates
    far = (-14.5, 9.25)
    a, b = opened((sampled(pre), {}), (sampled(pre, far), {}))
    np.testing.assert_allclose(measured(a, b).shift, far, atol=0.05)


def test_nothing_in_common_is_not_registered(opened, dates):
    pytest.importorskip("skimage", reason="extra gis")
    pixels = sampled(dates[0])
    a, b, flat = opened((pixels, {}), (noise(*pixels.shape[:2]), {}), (np.full_like(pixels, 9), {}))
    assert not measured(a, b).is_clear
    (_, same), (note,) = pair.aligned([a, b], register="apply")
    assert same is b
    assert "windows agree on one to a pixel; no shift is taken out" in note
    (_, same), (note,) = pair.aligned([a, flat], register="apply")
    assert same is flat
    assert "because only 0 windows hold data and detail in both; 5 are needed" in note
    (_, same), (note,) = pair.aligned([a, a], register="apply")
    assert same is a
    assert note.endswith("that is too little to interpolate for")


def test_windows_without_data_do_not_count(opened, dates):
    pytest.importorskip("skimage", reason="extra gis")
    one, two = sampled(dates[0]), sampled(dates[0], SHIFT)
    two[:60] = 0
    a, b = opened((one, {}), (two, {"nodata": 0}))
    found = measured(a, b)
    assert 5 <= found.num_windows <= 9
    np.testing.assert_allclose(found.shift, SHIFT, atol=0.05)


def test_registering_needs_its_library(opened, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("skimage"):
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    (a,) = opened((noise(80, 80), {}))
    with pytest.raises(UserError, match=r"needs scikit-image.*pip install 'noise2map_jax\[gis\]'"):
        pair.aligned([a, a], register="report")
    with pytest.raises(UserError, match="register is 'both'; expected one of report, apply"):
        pair.aligned([a, a], register="both")


def test_a_shift_in_metres():
    utm = Grid(100, 100, PLACE["transform"], rasterio.crs.CRS.from_epsg(32616))
    assert metres(utm, (3.0, -4.0)) == pytest.approx(2.5, rel=1e-3)
    degrees = Grid(100, 100, from_origin(10, 60, 1e-5, 1e-5), rasterio.crs.CRS.from_epsg(4326))
    assert metres(degrees, (1.0, 0.0)) == pytest.approx(0.558, abs=0.001)  # cos 60 of 1.113 m
    assert metres(degrees, (0.0, 1.0)) == pytest.approx(1.114, abs=0.001)
    assert metres(Grid(9, 9, Affine.identity(), None), (1.0, 0.0)) is None


def test_a_third_of_the_windows_must_agree():
    assert Registration((0.0, 0.0), 0.1, 12, 36).is_clear
    assert not Registration((0.0, 0.0), 0.1, 11, 36).is_clear
    assert not Registration((0.0, 0.0), 0.1, 3, 3).is_clear
