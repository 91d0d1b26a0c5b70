"""Options of predict that contradict each other, and what its errors leave behind."""

import json

import numpy as np
import pytest
import rasterio
import thin_config
from finished_runs import finish
from PIL import Image
from rasterio.control import GroundControlPoint

import noise2map_jax
from noise2map_jax import predict
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.provenance import provenance
from noise2map_jax.weights.__main__ import main as export_weights

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


@pytest.fixture
def image(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


@pytest.fixture
def run(tmp_path):
    finish(tmp_path / "run", thin_config.get_config())
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every_class"], "--every_class is about a probability"),
        (["--probability_type=uint8"], "--probability_type is about a probability"),
        (["--strict"], "--strict and --register are about pairs"),
        (["--register=report"], "--strict and --register are about pairs"),
        (["--part=1/0"], "part is 1/0"),
        (["--overlap=-5"], "overlap is -5"),
        (["--probability=OUT/map.tif"], "would overwrite"),
        (["--uncertainty=OUT/x.png", "--preview=OUT/x.png"], "a map is a GeoTIFF"),
        (["--polygons=OUT/map.geojson"], "the map has no CRS"),
        (["--image=OUT/nothing", "--output=OUT"], "no image"),
    ],
)
def test_options_without_effect_or_against_each_other_are_refused(
    options, words, image, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("pyogrio", reason="the extra gis is not installed")
    monkeypatch.setattr(predict, "load", lambda *_, **__: pytest.fail("it was not checked before"))
    options = [option.replace("OUT", str(tmp_path)) for option in options]
    files = [f"--image={image}", f"--output={tmp_path / 'map.tif'}", "--workdir=run"]
    assert predict.main([*files, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.png"]


def test_a_scene_by_control_points_gets_polygons(run, tmp_path, capsys):
    pyogrio = pytest.importorskip("pyogrio", reason="the extra gis is not installed")
    corners = ((0, 0, 10, 60), (0, 50, 10.01, 60.0005), (40, 0, 9.9995, 59.995))
    points = [GroundControlPoint(*p) for p in (*corners, (40, 50, 10.01, 59.9951))]
    profile = {"driver": "GTiff", "height": 40, "width": 50, "count": 3, "dtype": "uint8"}
    scene, polygons = tmp_path / "scene.tif", tmp_path / "(1).gpkg"  # a name that GDAL refuses
    with rasterio.open(scene, "w", **profile, gcps=points, crs="EPSG:4326") as target:
        target.write(np.moveaxis(PIXELS, -1, 0))
    options = [f"--output={tmp_path / 'map.tif'}", f"--polygons={polygons}", "--threshold=0.01"]
    assert predict.main([f"--workdir={run}", f"--image={scene}", *options]) == 0
    assert pyogrio.read_info(polygons)["features"] == 1
    assert "1 polygon (building" in capsys.readouterr().out


def test_an_error_of_the_polygons_leaves_the_map_alone(run, image, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise UserError("the disk is full")

    pytest.importorskip("pyogrio", reason="the extra gis is not installed")
    monkeypatch.setattr(predict, "write_polygons", refuse)
    options = [f"--output={tmp_path / 'map.tif'}", f"--polygons={tmp_path / 'map.gpkg'}"]
    assert predict.main([f"--workdir={run}", f"--image={image}", *options]) == 2
    assert sorted(path.name for path in tmp_path.glob("map*")) == ["map.tif"]


def test_tiles_that_memory_cannot_hold_are_one_line(image, tmp_path, monkeypatch, capsys):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(predict, "load", lambda *_, **__: None)
    monkeypatch.setattr(predict, "map_scene", exhausted)
    options = [f"--image={image}", f"--output={tmp_path / 'map.tif'}", "--workdir=run"]
    assert predict.main(options) == 2
    assert "a smaller --batch_size or --tile_size" in capsys.readouterr().err


def test_a_temperature_makes_probabilities_less_sure_and_leaves_the_classes(run):
    model = noise2map_jax.load(run)
    plain, less = model.predict(PIXELS, temperature=1), model.predict(PIXELS, temperature=2.5)
    p = np.asarray(plain.probabilities, np.float64)
    assert p.std() > 0.01
    expected = p**0.4 / (p**0.4 + (1 - p) ** 0.4)
    np.testing.assert_allclose(less.probabilities, expected, atol=2e-3)  # blended over tiles
    np.testing.assert_array_equal(less.classes, plain.classes)


def test_the_temperature_of_the_run_is_taken_and_its_best_threshold_goes_with_it(run):
    (run / "report").mkdir()
    found = {"threshold": 0.4, "temperature": 2.5, "step": 7}
    (run / "report" / "threshold.json").write_text(json.dumps(found))
    model = noise2map_jax.load(run)
    assert provenance(model, PredictionOptions())["temperature"] == "2.5"
    assert provenance(model, PredictionOptions(temperature=1))["temperature"] == "1"
    asked = model.predict(PIXELS, temperature=2.5, threshold="best")
    np.testing.assert_array_equal(asked.probabilities, model.predict(PIXELS).probabilities)
    other = model.predict(PIXELS, temperature=1).probabilities
    assert abs(asked.probabilities - other).max() > 0.01
    with pytest.raises(UserError, match=r"is that of the temperature 2\.5, not of 1: leave"):
        model.predict(PIXELS, temperature=1, threshold="best")


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), "warm", True])
def test_what_is_no_temperature_is_refused(run, temperature):
    with pytest.raises(UserError, match="expected a number more than 0"):
        noise2map_jax.load(run).predict(PIXELS, temperature=temperature)


def test_exported_weights_have_the_temperature_of_the_run(run, tmp_path):
    (run / "report").mkdir()
    (run / "report" / "threshold.json").write_text('{"temperature": 2.5, "step": 7}')
    assert export_weights(["export", f"--workdir={run}", f"--output={tmp_path / 'e'}"]) == 0
    maps = [noise2map_jax.load(folder).predict(PIXELS) for folder in (run, tmp_path / "e")]
    np.testing.assert_array_equal(maps[0].probabilities, maps[1].probabilities)
    plain = noise2map_jax.load(run).predict(PIXELS, temperature=1)
    assert abs(maps[1].probabilities - plain.probabilities).max() > 0.01
