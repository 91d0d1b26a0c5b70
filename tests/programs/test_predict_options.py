"""Options of predict that contradict each other, and what its errors leave behind."""

import numpy as np
import pytest
import rasterio
import thin_config
from finished_runs import finish
from PIL import Image
from rasterio.control import GroundControlPoint

from noise2map_jax import predict
from noise2map_jax.errors import UserError

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
