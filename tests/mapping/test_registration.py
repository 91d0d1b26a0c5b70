"""The shift between two dates is measured, and taken out of the second."""

import builtins

import numpy as np
import opened_images
import pytest
import rasterio
from opened_images import PLACE, noise
from rasterio import Affine
from rasterio.transform import from_origin
from scipy import ndimage

from data_prep.drawing.scenes import change_scene
from data_prep.imagery.grid import Grid
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import pair
from noise2map_jax.mapping.registration import Registration, measured, metres

SHIFT = (0.3, -1.7)  # Columns and rows.


@pytest.fixture
def opened(tmp_path):
    with opened_images.opener(tmp_path) as write:
        yield write


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


def test_the_ground_that_did_not_change_decides(opened, dates):
    pytest.importorskip("skimage", reason="extra gis")
    one, two = sampled(dates[0]), sampled(dates[0], SHIFT)
    two[:90] = noise(90, two.shape[1])
    a, b = opened((one, {}), (two, {}))
    found = measured(a, b)
    assert found.is_clear
    assert found.num_agreeing < found.num_windows
    np.testing.assert_allclose(found.shift, SHIFT, atol=0.05)
