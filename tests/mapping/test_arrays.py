"""Arrays of NumPy's and of xarray's: the numbers and the place of the command line."""

import numpy as np
import pytest
import rasterio
import thin_config
from finished_runs import finish
from rasterio.transform import from_origin

from noise2map_jax.errors import UserError
from noise2map_jax.mapping.loading import load
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import MapFiles, map_scene

PLACE = {"crs": "EPSG:32633", "transform": from_origin(5e5, 4e6, 0.5, 0.5)}
PIXELS = np.random.default_rng(0).integers(1, 256, (3, 40, 50)).astype(np.uint8)
PIXELS[:, :5, :7] = 0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    found = {}
    for task, classes in (("ss", ("background", "building")), ("cd", ("no_change", "change"))):
        config = thin_config.get_config()
        config.task, config.data.classes = task, classes
        workdir = tmp_path_factory.mktemp("runs") / task
        finish(workdir, config)
        found[task] = load(workdir)
    return found


@pytest.fixture
def image(tmp_path):
    profile = {"driver": "GTiff", "height": 40, "width": 50, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **PLACE, nodata=0) as target:
        target.write(PIXELS)
    return str(tmp_path / "a.tif")


def test_numbers_are_those_of_the_command_line(models, image, tmp_path):
    files = MapFiles(*(str(tmp_path / f"{name}.tif") for name in "mp"))
    map_scene(models["ss"], [image], files, PredictionOptions(overlap=8, symmetries=True))
    array = np.moveaxis(PIXELS, 0, -1)
    maps = models["ss"].predict(array, valid=array.any(-1), overlap=8, symmetries=True)
    with rasterio.open(files.classes) as found:
        np.testing.assert_array_equal(maps.classes, found.read(1))
    with rasterio.open(files.probability) as found:
        np.testing.assert_array_equal(1 - maps.probabilities[..., 0], found.read(1))
    assert (maps.classes[:5, :7] == 255).all()
    assert np.isnan(maps.uncertainty[:5, :7]).all()
    assert maps.uncertainty[5:].mean() > 0


def test_arrays_of_xarray_keep_their_place(models, image, tmp_path):
    rioxarray = pytest.importorskip("rioxarray", reason="the extra gis is not installed")
    files = MapFiles(str(tmp_path / "m.tif"))
    map_scene(models["ss"], [image], files)
    opened = rioxarray.open_rasterio(image)
    maps = models["ss"].predict(opened)
    assert maps.classes.dims == ("y", "x")
    assert maps.probabilities.coords["class"].values.tolist() == ["background", "building"]
    maps.classes.rio.to_raster(tmp_path / "x.tif")
    with rasterio.open(tmp_path / "x.tif") as one, rasterio.open(files.classes) as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert (one.crs, one.transform, one.nodata) == (other.crs, other.transform, other.nodata)
    last = models["ss"].predict(opened.transpose("y", "x", "band"))
    np.testing.assert_array_equal(last.classes.values, maps.classes.values)


def test_pairs_of_xarray_lie_on_one_grid(models, image):
    rioxarray = pytest.importorskip("rioxarray", reason="the extra gis is not installed")
    opened = rioxarray.open_rasterio(image)
    models["cd"].predict(opened, opened)
    moved = opened.assign_coords(x=opened.x + 1.0)
    with pytest.raises(UserError, match=r"lie at other coordinates x .*reproject_match"):
        models["cd"].predict(opened, moved)
    masked = rioxarray.open_rasterio(image, masked=True)
    with pytest.raises(UserError, match="'array' is float32; the network was trained on uint8"):
        models["ss"].predict(masked)
    with pytest.raises(UserError, match="has the dimensions y, x; expected three"):
        models["ss"].predict(opened[0])


def test_arrays_that_do_not_fit_are_refused(models):
    array = np.moveaxis(PIXELS, 0, -1)
    for task, given, options, words in (
        ("ss", (array, array), {}, "takes 1 image"),
        ("cd", (array,), {}, r"takes 2 image\(s\)"),
        ("cd", (array, array[1:]), {}, "differ in size: 40 x 50, 39 x 50"),
        ("ss", (array,), {"valid": np.ones((3, 3))}, "differ in size: 40 x 50, 40 x 50, 3 x 3"),
        ("ss", (array[..., 0],), {}, r"has the shape \(40, 50\); expected"),
        ("ss", (array[..., :2],), {}, "has 2 band"),
        ("ss", (array.astype(np.uint16),), {}, "uint16; the network was trained on uint8"),
        ("ss", (array,), {"overlap": 20}, "of a tile of 32 pixels 32 are used, and at most half"),
        ("ss", (array,), {"batch_size": -1}, "batch_size is -1"),
    ):
        with pytest.raises(UserError, match=words):
            models[task].predict(*given, **options)
