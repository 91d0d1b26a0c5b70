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
from rasterio.shutil import copy

from data_prep.imagery.band_choice import BandChoice
from noise2map_jax.data.tile_position import position
from noise2map_jax.devices import sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import create_problem, create_process
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.mapping import predictor, scene_map
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.parts import Part, parse_part
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import MapFiles
from noise2map_jax.method.noise import noise_draws
from noise2map_jax.steps import symmetric_prediction
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
    monkeypatch.setattr(predictor, "predict_step", local_predict_step)
    return config


def loaded(config):
    """The network of a run."""
    return Model("run", config, create_model(config), {}, sharding.create_mesh(), 7, {})


@pytest.fixture
def image(tmp_path):
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8"}
    profile["transform"] = rasterio.transform.from_origin(5e5, 4e6, 0.5, 0.5)
    with rasterio.open(tmp_path / "scene.tif", "w", **profile) as image:
        image.write(np.moveaxis(PIXELS, -1, 0))
    return str(tmp_path / "scene.tif")


def in_tiles(config, image, tmp_path, margin, overlap=6, uncertainty="", choice=None, **options):
    """The probability of the foreground as `predict` writes it, [H, W]."""
    path = tmp_path / "probability.tif"
    files = MapFiles(str(tmp_path / "map.tif"), str(path), uncertainty)
    options = PredictionOptions(margin=margin, overlap=overlap, **options)
    scene_map.map_scene(loaded(config), [image], files, options, choice=choice)
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
@pytest.mark.parametrize(("margin", "overlap"), [(REACH, 0), (REACH, 13), (8, 5)])
def test_tiles_leave_no_seams(mix, margin, overlap, config, image, tmp_path):
    config.noise.mix = mix
    error = np.abs(in_tiles(config, image, tmp_path, margin, overlap) - in_one_pass(config))
    assert error.max() < 1e-5
    # Whether noise, pixels and network lie where they should would be seen here.
    assert in_one_pass(config).std() > 0.1


@pytest.mark.parametrize("mix", MIXES)
def test_a_margin_below_the_reach_of_the_network_is_seen_at_the_seams_alone(
    mix, config, image, tmp_path
):
    config.noise.mix = mix
    margin = REACH - 1
    error = np.abs(in_tiles(config, image, tmp_path, margin, overlap=0) - in_one_pass(config))
    seam = distance_to_seam(margin) == 0
    assert error[~seam].max() < 1e-5
    inner = seam.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False  # of the scene's own edges
    assert np.median(error[inner]) > 1e-3


def test_the_map_says_what_the_probability_says(config, image, tmp_path):
    probability = in_tiles(config, image, tmp_path, 4, batch_size=3)
    with rasterio.open(tmp_path / "map.tif") as mapped:
        np.testing.assert_array_equal(mapped.read(1), probability > 0.5)


def test_noise_is_not_that_of_the_tile(config, image, tmp_path):
    config.noise.mix, config.noise.inference_timesteps = "gaussian", (999,)  # nothing but noise
    step = TILE - 2 * 4
    probability = in_tiles(config, image, tmp_path, 4, overlap=0)
    one, next_to_it = probability[:step, :step], probability[:step, step : 2 * step]
    assert abs(np.corrcoef(one.ravel(), next_to_it.ravel())[0, 1]) < 0.2


def test_draws_are_several_predictions_of_which_an_uncertainty_is_had(config, image, tmp_path):
    path = str(tmp_path / "u.tif")
    with pytest.raises(UserError, match="an uncertainty needs several predictions"):
        in_tiles(config, image, tmp_path, 4, uncertainty=path)
    config.noise.mix = "gaussian"
    in_tiles(config, image, tmp_path, 4, uncertainty=path)
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
    in_tiles(config, path, tmp_path, 4)
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
    upright = in_tiles(config, str(tmp_path / "a.png"), tmp_path, 4)
    assert capsys.readouterr().err.count("note") == 0
    np.testing.assert_array_equal(in_tiles(config, str(tmp_path / "b.png"), tmp_path, 4), upright)
    assert "is turned by 90 degrees clockwise, as its orientation tag says" in (
        capsys.readouterr().err
    )


def test_a_palette_is_mapped_by_its_colours(config, tmp_path):
    palette = Image.fromarray(PIXELS).quantize(32)
    palette.save(tmp_path / "a.png")
    palette.convert("RGB").save(tmp_path / "b.png")
    np.testing.assert_array_equal(
        *(in_tiles(config, str(tmp_path / name), tmp_path, 4) for name in ("a.png", "b.png"))
    )


def test_bands_are_those_of_the_dataset_unless_others_are_asked_for(config, image, tmp_path):
    with rasterio.open(image) as source:
        profile, pixels = source.profile, source.read()
    swapped = str(tmp_path / "swapped.tif")
    with rasterio.open(swapped, "w", **profile) as target:
        target.write(pixels[::-1])
    plain = in_tiles(config, image, tmp_path, 4)
    config.data.bands = (3, 2, 1)
    np.testing.assert_array_equal(in_tiles(config, swapped, tmp_path, 4), plain)
    other = in_tiles(config, swapped, tmp_path, 4, choice=BandChoice())
    assert np.abs(other - plain).max() > 0.1


def test_outputs_are_checked_before_the_work(config, image, tmp_path, monkeypatch):
    def fail(*arguments):
        raise AssertionError("the scene was predicted")

    monkeypatch.setattr(scene_map, "strips_of", fail)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for output, words in (
        ("pipe", "'.*pipe' is a device or pipe; name a file"),
        ("folder", "'.*folder' is a folder; name a file, such as .*folder/map.tif"),
        ("no/map.tif", "no folder '.*no' to write"),
        ("scene.tif", "would overwrite"),
        ("/proc/map.tif", "cannot write to '/proc'"),
        ("map.png", "a map is a GeoTIFF, but '.*map.png' is to be written; name it OUT.tif"),
    ):
        with pytest.raises(UserError, match=words):
            scene_map.map_scene(loaded(config), [image], MapFiles(str(tmp_path / output)))
    both = MapFiles(str(tmp_path / "map.tif"), f"{tmp_path}/folder/../map.tif")
    with pytest.raises(UserError, match=r"would overwrite '.*map\.tif'"):
        scene_map.map_scene(loaded(config), [image], both)
    copy(image, tmp_path / "scene.vrt", driver="VRT")
    with pytest.raises(UserError, match=r"'.*scene\.tif' would overwrite"):
        scene_map.map_scene(loaded(config), [str(tmp_path / "scene.vrt")], MapFiles(image))
    (tmp_path / "scene.vrt").unlink()
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"has 0\.00 GB free, and the maps may take 0\.00 GB"):
        scene_map.map_scene(loaded(config), [image], MapFiles(str(tmp_path / "map.tif")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe", "scene.tif"]


def test_a_map_that_is_interrupted_leaves_nothing(config, image, tmp_path, monkeypatch):
    whole = scene_map.strips_of

    def broken(*arguments):
        yield next(whole(*arguments))
        raise UserError("image 'scene.tif' is damaged")

    monkeypatch.setattr(scene_map, "strips_of", broken)
    with pytest.raises(UserError, match="is damaged"):
        in_tiles(config, image, tmp_path, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_symmetries_are_averaged_at_their_places(config, image, tmp_path, monkeypatch):
    monkeypatch.setattr(symmetric_prediction, "predict_step", local_predict_step)
    path = str(tmp_path / "u.tif")
    found = in_tiles(config, image, tmp_path, REACH, uncertainty=path, symmetries=True)
    kernel, expected = Local.kernel, []
    for turns in range(4):
        for flipped in (kernel, kernel[::-1]):
            # A network of the turned image, turned back, is one with a turned kernel.
            monkeypatch.setattr(Local, "kernel", np.rot90(flipped, turns))
            expected.append(in_one_pass(config))
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-5)
    with rasterio.open(path) as uncertainty:
        np.testing.assert_allclose(uncertainty.read(1), np.std(expected, axis=0), atol=1e-4)


def test_every_pixel_of_a_scene_in_panels_is_written(config, image, tmp_path, monkeypatch):
    whole = in_tiles(config, image, tmp_path, REACH)
    monkeypatch.setattr(scene_map, "PANEL_WIDTH", 40)
    np.testing.assert_allclose(in_tiles(config, image, tmp_path, REACH), whole, atol=1e-6)


def test_probabilities_of_one_byte_and_of_every_class(config, image, tmp_path):
    model, options = loaded(config), PredictionOptions(margin=4, threshold=0.3)
    exact = in_tiles(config, image, tmp_path, 4, overlap=-1)
    files = MapFiles(*(str(tmp_path / f"{n}.tif") for n in "mp"), every_class=True, dtype="uint8")
    scene_map.map_scene(model, [image], files, options)
    with rasterio.open(files.probability) as found:
        assert found.descriptions == ("background", "building")
        assert found.dtypes == ("uint8", "uint8")
        assert found.nodata == 255
        np.testing.assert_allclose(found.read(2) * found.scales[1], exact, atol=0.0021)
        np.testing.assert_allclose(found.read(1) * found.scales[0], 1 - exact, atol=0.0021)
    with rasterio.open(files.classes) as mapped:
        np.testing.assert_array_equal(mapped.read(1), exact >= 0.3)
        assert mapped.tags()["threshold"] == "0.3"
        assert mapped.tags()["step"] == "7"
        assert mapped.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_the_best_threshold_is_that_of_the_evaluation(config, image, tmp_path):
    model = loaded(config)
    files, options = MapFiles(str(tmp_path / "m.tif")), PredictionOptions(threshold="best")
    with pytest.raises(UserError, match="run does not know its best threshold: --mode=eval of a"):
        scene_map.map_scene(model, [image], files, options)
    model.found["threshold"] = {"threshold": 0.25, "step": 6}
    with pytest.raises(UserError, match="is that of step 6, but its best checkpoint is of step 7"):
        scene_map.map_scene(model, [image], files, options)
    model.found["threshold"]["step"] = 7
    scene_map.map_scene(model, [image], files, options)
    with rasterio.open(files.classes) as mapped:
        assert mapped.tags()["threshold"] == "0.25"
        found = mapped.read(1)
    scene_map.map_scene(model, [image], files, PredictionOptions(threshold=0.25))
    with rasterio.open(files.classes) as mapped:
        np.testing.assert_array_equal(mapped.read(1), found)
        assert (found == 1).mean() > 0.5


def test_blocks_without_data_are_not_predicted(config, tmp_path, monkeypatch):
    profile = {"driver": "GTiff", "height": 300, "width": 200, "count": 3, "dtype": "uint8"}
    profile["transform"] = rasterio.transform.from_origin(5e5, 4e6, 0.5, 0.5)
    path = str(tmp_path / "sparse.tif")
    pixels = np.zeros((3, 300, 200), np.uint8)
    pixels[:, 140:160, 90:95] = 7
    with rasterio.open(path, "w", **profile, nodata=0) as target:
        target.write(pixels)
    calls = []
    call = predictor.Predictor.__call__

    def counted(self, tiles, *arguments):
        calls.append(len(tiles))
        return call(self, tiles, *arguments)

    monkeypatch.setattr(predictor.Predictor, "__call__", counted)
    found = in_tiles(config, path, tmp_path, REACH)
    np.testing.assert_array_equal(np.isfinite(found), pixels[0] > 0)
    assert 1 <= sum(calls) <= 6  # of 96 tiles


def test_several_processes_share_a_scene(config, image, tmp_path, monkeypatch):
    model, options = loaded(config), PredictionOptions(margin=REACH, overlap=9)
    names = [str(tmp_path / f"{name}.tif") for name in ("map", "p", "whole", "whole_p")]
    files, whole = MapFiles(*names[:2]), MapFiles(*names[2:])
    scene_map.map_scene(model, [image], whole, options)
    order = [Part(index, 3) for index in (2, 0, 1)]
    done = [scene_map.map_scene(model, [image], files, options, part=part) for part in order]
    assert done == [False, False, True]
    for one, other in zip(names[:2], names[2:], strict=True):
        with rasterio.open(one) as joined, rasterio.open(other) as expected:
            np.testing.assert_allclose(joined.read(), expected.read(), atol=1e-6)
            assert joined.tags() == expected.tags()
            assert joined.transform == expected.transform
    assert len(list(tmp_path.iterdir())) == 1 + len(names)


def test_a_part_that_is_there_is_not_predicted_again(config, image, tmp_path, monkeypatch):
    model, files = loaded(config), MapFiles(str(tmp_path / "map.tif"))
    options = PredictionOptions(margin=REACH)
    assert not scene_map.map_scene(model, [image], files, options, part=Part(0, 2))
    other = PredictionOptions(margin=REACH, threshold=0.3)
    with pytest.raises(UserError, match=r"map.tif.1of2' was made with threshold most probable"):
        scene_map.map_scene(model, [image], files, other, part=Part(0, 2))
    monkeypatch.setattr(scene_map, "strips_of", None)
    assert not scene_map.map_scene(model, [image], files, options, part=Part(0, 2))
    monkeypatch.undo()


def test_parts_that_do_not_belong_together_are_not_joined(config, image, tmp_path):
    output, probability = str(tmp_path / "map.tif"), str(tmp_path / "p.tif")
    options = PredictionOptions(margin=REACH)

    files = MapFiles(output, probability)
    assert not scene_map.map_scene(loaded(config), [image], files, options, part=Part(0, 2))
    other = str(tmp_path / "elsewhere" / "scene.tif")
    (tmp_path / "elsewhere").mkdir()
    with rasterio.open(image) as source, rasterio.open(other, "w", **source.profile) as target:
        target.write(source.read() // 2)
    for path, files, choice, words in (
        (image, MapFiles(output, probability, dtype="uint8"), None, "type float32, not uint8"),
        (image, MapFiles(output, probability, every_class=True), None, "layers probability, not"),
        (image, MapFiles(output, probability), BandChoice((3, 2, 1)), "bands all; alpha auto"),
        (other, MapFiles(output, probability), None, "map.tif.1of2' was made of other images"),
    ):
        with pytest.raises(UserError, match=words):
            scene_map.map_scene(
                loaded(config), [path], files, options, choice=choice, part=Part(1, 2)
            )
        for last in tmp_path.glob("*.2of2"):
            last.unlink()
    assert not (tmp_path / "map.tif").exists()
    files = MapFiles(output, probability)
    assert scene_map.map_scene(loaded(config), [image], files, options, part=Part(1, 2))


@pytest.mark.parametrize("text", ["3/2", "0/2", "a/2", "2", "1/0", "-1/2"])
def test_parts_that_do_not_exist_are_refused(text):
    with pytest.raises(UserError, match="part is"):
        parse_part(text)
