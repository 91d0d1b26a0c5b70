"""Scenes of any size, and files that are damaged: with a network that copies its input."""

import random

import damage
import numpy as np
import pytest
import rasterio
import thin_config
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from noise2map_jax.devices import sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.mapping import scene_map
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import MapFiles
from noise2map_jax.steps.eval_step import Prediction


def copied(tiles, places, number):
    """A network whose probability of foreground is the first band."""
    foreground = np.stack([tile[0][..., 0] for tile in tiles]) / np.float32(255)
    return Prediction(np.stack([1 - foreground, foreground], axis=-1), 0 * foreground)


def copying_model(options):
    config = thin_config.get_config()
    model = Model("run", config, create_model(config), {}, sharding.create_mesh(), 7, {})
    size, temperature = options.sample_size(config), config.eval.temperature
    key = options.timesteps, options.symmetries, temperature, size
    model._predictors[key] = copied
    return model


def check_scene(height, width, seed, panel_width, **options):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    valid = rng.random((height, width)) > 0.2
    options = PredictionOptions(**options)
    model = copying_model(options)
    before = scene_map.PANEL_WIDTH
    scene_map.PANEL_WIDTH = panel_width
    try:
        fields = {name: getattr(options, name) for name in ("overlap", "margin", "batch_size")}
        maps = model.predict(image, valid=valid, **fields)
    finally:
        scene_map.PANEL_WIDTH = before
    expected = np.where(valid, image[..., 0] / np.float32(255), np.nan)
    np.testing.assert_allclose(maps.probabilities[..., 1], expected, atol=1e-5)
    doubtful = np.abs(expected - 0.5) < 1e-4
    classes = np.where(valid, expected > 0.5, 255)
    np.testing.assert_array_equal(maps.classes[~doubtful], classes[~doubtful])


OPTIONS = {
    "seed": st.integers(0, 99),
    "panel_width": st.integers(1, 400),
    "overlap": st.integers(-1, 13),
    "margin": st.integers(0, 3),
    "batch_size": st.integers(0, 9),
}


@given(height=st.integers(1, 200), width=st.integers(1, 200), **OPTIONS)
@settings(max_examples=30, deadline=None)
def test_every_pixel_is_predicted_once_and_at_its_place(height, width, **options):
    check_scene(height, width, **options)


@pytest.mark.long
@given(height=st.integers(1, 3000), width=st.integers(1, 2000), **OPTIONS)
@settings(max_examples=60, deadline=None)
def test_every_pixel_of_larger_scenes_too(height, width, **options):
    check_scene(height, width, **options)


def tiff(path, **options):
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": 70, "width": 90, "count": 3, "dtype": "uint8"}
    profile |= {"crs": "EPSG:32633", "transform": from_origin(5e5, 4e6, 0.5, 0.5)}
    with rasterio.open(path, "w", **profile | options) as target:
        target.write(rng.integers(1, 256, (3, 70, 90)).astype(np.uint8))
    return path.read_bytes()


def mapped_or_refused(path, folder):
    """Map a file; return what is said of it, or None. Nothing half-written may be left."""
    options = PredictionOptions()
    files = MapFiles(str(folder / "map.tif"), str(folder / "p.tif"))
    try:
        scene_map.map_scene(copying_model(options), [str(path)], files, options)
    except UserError as error:
        assert not list(folder.iterdir())
        message = str(error)
        assert "\n" not in message
        return message
    for name in ("map.tif", "p.tif"):
        with rasterio.open(folder / name) as whole:
            whole.read()
        (folder / name).unlink()
    assert not list(folder.iterdir())
    return None


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(i, marks=pytest.mark.long) for i in range(1, 9))]
)
def test_damaged_files_are_mapped_or_refused_in_one_line(seed, tmp_path):
    rng = random.Random(seed)
    folder = tmp_path / "out"
    folder.mkdir()
    kinds = ({}, {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16})
    said = []
    for number, options in enumerate(kinds * 6):
        whole = tiff(tmp_path / "a.tif", **options)
        hurt = (damage.cut, damage.flip, damage.flip_head, damage.blank)[number % 4]
        path = tmp_path / f"{number}.tif"
        path.write_bytes(hurt(whole, rng, b""))
        said.append(mapped_or_refused(path, folder))
    assert any(said)


def test_a_header_of_an_enormous_size_is_refused_before_memory_is_taken(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    path, said = tmp_path / "b.tif", []
    for seed in range(8):
        path.write_bytes(damage.huge_tiff(tiff(tmp_path / "a.tif"), random.Random(seed), b""))
        said.append(mapped_or_refused(path, folder))
    refused = [message for message in said if message]
    assert len(refused) >= 4  # of those of which height or width was changed
    assert all("b.tif" in message or "GB free" in message for message in refused)


def test_float_and_nan_pixels_are_refused(tmp_path):
    path = tmp_path / "f.tif"
    profile = {"driver": "GTiff", "height": 8, "width": 8, "count": 3, "dtype": "float32"}
    profile["transform"] = from_origin(5e5, 4e6, 0.5, 0.5)
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.full((3, 8, 8), np.nan, np.float32))
    folder = tmp_path / "out"
    folder.mkdir()
    assert "pixels of type float32" in mapped_or_refused(path, folder)
