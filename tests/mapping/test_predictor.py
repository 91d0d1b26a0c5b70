"""Maps of scenes, made tile by tile: the same as in one pass, with a network of known reach."""

import dataclasses
import functools
import os
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
import thin_config
from jax import lax
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

from data_prep.imagery.band_choice import BandChoice
from noise2map_jax.data.tile_position import position
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import create_problem, create_process
from noise2map_jax.mapping import predictor
from noise2map_jax.method.noise import noise_draws
from noise2map_jax.steps.eval_step import predict_step

HEIGHT, WIDTH, TILE = 70, 101, 32
REACH = 3  # of the network, in pixels
PIXELS = np.random.default_rng(0).integers(1, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
MIXES = ("image", "gaussian")


class Local:
    """A network that sees no further than `REACH` pixels, and in each direction differently."""

    kernel = np.random.default_rng(1).normal(0, 0.3, (2 * REACH + 1, 2 * REACH + 1, 3, 1))

    def apply(self, variables, x, timesteps, *, task, use_timestep):
        numbers = ("NHWC", "HWIO", "NHWC")
        kernel = jnp.asarray(self.kernel, jnp.float32)
        logit = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
        return jnp.concatenate([jnp.zeros_like(logit), logit], axis=-1)


def local_predict_step(*arguments, problem):
    return predict_step(*arguments, problem=dataclasses.replace(problem, model=Local()))


@pytest.fixture
def config(monkeypatch):
    """Of a run that maps are made with, whose network is `Local`."""
    config = thin_config.get_config()
    config.noise.inference_timesteps = (300,)  # signal and noise are both to be seen
    config.eval.num_noise_draws = 2
    monkeypatch.setattr(predictor, "load_config", lambda workdir: config)
    monkeypatch.setattr(predictor, "restore_best", lambda *arguments: (0, {}))
    monkeypatch.setattr(predictor, "predict_step", local_predict_step)
    return config


@pytest.fixture
def image(tmp_path):
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8"}
    profile["transform"] = rasterio.transform.from_origin(5e5, 4e6, 0.5, 0.5)
    with rasterio.open(tmp_path / "scene.tif", "w", **profile) as image:
        image.write(np.moveaxis(PIXELS, -1, 0))
    return str(tmp_path / "scene.tif")


def in_tiles(image, tmp_path, margin, **options):
    """The probability of the foreground as `predict` writes it, [H, W]."""
    path = tmp_path / "probability.tif"
    output = str(tmp_path / "map.tif")
    predictor.map_scene(tmp_path, [image], output, probability=str(path), margin=margin, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # of a map of a picture
        with rasterio.open(path) as probability:
            return probability.read(1)


def in_one_pass(config):
    """The same of the whole scene, mirrored at its edges, at once."""
    process = create_process(config)
    problem = create_problem(config, Local(), (1.0, 1.0))
    around = [(REACH, REACH), (REACH, REACH), (0, 0)]
    batch = {"image": np.pad(PIXELS, around, mode="reflect")[None]}
    batch |= {key: value[None] for key, value in position(0, -REACH, -REACH).items()}
    draws = noise_draws(process, config.eval.num_noise_draws)
    step = jax.jit(functools.partial(predict_step, problem=problem))
    found = step({}, batch, process, draws).probabilities
    return np.asarray(found)[0, REACH:-REACH, REACH:-REACH, 1]


def distance_to_seam(margin):
    """How many pixels each pixel of a scene lies from the nearest edge of the core it is in."""
    step = TILE - 2 * margin
    rows, columns = (np.arange(n) % step for n in (HEIGHT, WIDTH))
    rows, columns = (np.minimum(p, step - 1 - p) for p in (rows, columns))
    return np.minimum(rows[:, None], columns[None])


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("margin", [REACH, 8])
def test_tiles_leave_no_seams(mix, margin, config, image, tmp_path):
    config.noise.mix = mix
    error = np.abs(in_tiles(image, tmp_path, margin) - in_one_pass(config))
    assert error.max() < 1e-5
    # Whether noise, pixels and network lie where they should would be seen here.
    assert in_one_pass(config).std() > 0.1


@pytest.mark.parametrize("mix", MIXES)
def test_a_margin_below_the_reach_of_the_network_is_seen_at_the_seams_alone(
    mix, config, image, tmp_path
):
    config.noise.mix = mix
    margin = REACH - 1
    error = np.abs(in_tiles(image, tmp_path, margin) - in_one_pass(config))
    seam = distance_to_seam(margin) == 0
    assert error[~seam].max() < 1e-5
    inner = seam.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False  # of the scene's own edges
    assert np.median(error[inner]) > 1e-3


def test_the_map_says_what_the_probability_says(config, image, tmp_path):
    probability = in_tiles(image, tmp_path, 4, batch_size=3)
    with rasterio.open(tmp_path / "map.tif") as mapped:
        np.testing.assert_array_equal(mapped.read(1), probability > 0.5)


def test_noise_is_not_that_of_the_tile(config, image, tmp_path):
    config.noise.mix, config.noise.inference_timesteps = "gaussian", (999,)  # nothing but noise
    step = TILE - 2 * 4
    probability = in_tiles(image, tmp_path, 4)
    one, next_to_it = probability[:step, :step], probability[:step, step : 2 * step]
    assert abs(np.corrcoef(one.ravel(), next_to_it.ravel())[0, 1]) < 0.2


def test_draws_are_several_predictions_of_which_an_uncertainty_is_had(config, image, tmp_path):
    path = str(tmp_path / "u.tif")
    with pytest.raises(UserError, match="an uncertainty needs several timesteps"):
        in_tiles(image, tmp_path, 4, uncertainty=path)
    config.noise.mix = "gaussian"
    in_tiles(image, tmp_path, 4, uncertainty=path)
    with rasterio.open(path) as uncertainty:
        assert uncertainty.read(1).mean() > 0.01


def test_control_points_are_carried_over(config, tmp_path):
    points = [
        GroundControlPoint(row, column, 5e5 + column / 2, 4e6 - row / 2)
        for row in (0, HEIGHT)
        for column in (0, WIDTH)
    ]
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8"}
    path = str(tmp_path / "gcp.tif")
    with rasterio.open(path, "w", **profile, gcps=points, crs="EPSG:32633") as image:
        image.write(np.moveaxis(PIXELS, -1, 0))
    in_tiles(path, tmp_path, 4)
    for name in ("map", "probability"):
        with rasterio.open(tmp_path / f"{name}.tif") as mapped:
            found, crs = mapped.gcps
        assert crs == "EPSG:32633"
        assert [(p.row, p.col, p.x, p.y) for p in found] == [
            (p.row, p.col, p.x, p.y) for p in points
        ]


def test_a_photograph_is_mapped_as_seen(config, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray(np.rot90(PIXELS)).save(tmp_path / "b.png", exif=exif)
    upright = in_tiles(str(tmp_path / "a.png"), tmp_path, 4)
    assert capsys.readouterr().err.count("note") == 0
    np.testing.assert_array_equal(in_tiles(str(tmp_path / "b.png"), tmp_path, 4), upright)
    assert "is turned by 90 degrees clockwise, as its orientation tag says" in (
        capsys.readouterr().err
    )


def test_a_palette_is_mapped_by_its_colours(config, tmp_path):
    palette = Image.fromarray(PIXELS).quantize(32)
    palette.save(tmp_path / "a.png")
    palette.convert("RGB").save(tmp_path / "b.png")
    np.testing.assert_array_equal(
        *(in_tiles(str(tmp_path / name), tmp_path, 4) for name in ("a.png", "b.png"))
    )


def test_bands_are_those_of_the_dataset_unless_others_are_asked_for(config, image, tmp_path):
    with rasterio.open(image) as source:
        profile, pixels = source.profile, source.read()
    swapped = str(tmp_path / "swapped.tif")
    with rasterio.open(swapped, "w", **profile) as target:
        target.write(pixels[::-1])
    plain = in_tiles(image, tmp_path, 4)
    config.data.bands = (3, 2, 1)
    np.testing.assert_array_equal(in_tiles(swapped, tmp_path, 4), plain)
    other = in_tiles(swapped, tmp_path, 4, choice=BandChoice())
    assert np.abs(other - plain).max() > 0.1


def test_outputs_are_checked_before_the_work(config, image, tmp_path, monkeypatch):
    def fail(*arguments):
        raise AssertionError("the network was restored")

    monkeypatch.setattr(predictor, "Predictor", fail)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for output, words in (
        ("pipe", "'.*pipe' is a device or pipe; name a file"),
        ("folder", "'.*folder' is a folder; name a file, such as .*folder/map.tif"),
        ("no/map.tif", "no folder '.*no' to write"),
        ("scene.tif", "would overwrite"),
        ("/proc/map.tif", "cannot write to '/proc'"),
    ):
        with pytest.raises(UserError, match=words):
            predictor.map_scene(tmp_path, [image], str(tmp_path / output))
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"has 0\.00 GB free, and the maps may take 0\.00 GB"):
        predictor.map_scene(tmp_path, [image], str(tmp_path / "map.tif"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe", "scene.tif"]
