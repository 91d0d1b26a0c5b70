"""Maps of arrays are those of files, bit for bit; those of xarray's keep their place."""

import sys
import warnings

import numpy as np
import pytest
import rasterio
import thin_config
from finished_runs import finish
from raster_files import write_tiff
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning

import noise2map_jax
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import MapFiles, map_scene

xarray = pytest.importorskip("xarray", reason="of the extra gis")
rioxarray = pytest.importorskip("rioxarray", reason="of the extra gis")

HEIGHT, WIDTH, NODATA = 45, 70, 7
PLACE = {"crs": "EPSG:32616", "transform": Affine(0.3, 0, 512345.7, 0, -0.3, 4012345.1)}


def load(folder, change=lambda config: None):
    config = thin_config.get_config()
    config.noise.inference_timesteps = (500, 900)  # their spread is an uncertainty
    change(config)
    finish(folder, config)
    return noise2map_jax.load(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(tmp_path_factory.mktemp("runs") / "ss")


@pytest.fixture(scope="module")
def pair_model(tmp_path_factory):
    def change(config):
        config.task = "cd"
        config.data.dataset = "thin_cd"
        config.data.classes = ("no_change", "change")

    return load(tmp_path_factory.mktemp("runs") / "cd", change)


@pytest.fixture(scope="module")
def options(model):
    """A threshold that half of the pixels reach: the network is a random one."""
    background = model.predict(pixels(), overlap=9).probabilities[..., 0]
    return {"overlap": 9, "threshold": float(1 - np.nanmedian(background))}


def pixels(seed=0, bands=3, kind=np.uint8):
    values = np.random.default_rng(seed).integers(8, 256, (HEIGHT, WIDTH, bands)).astype(kind)
    values[:9, :20] = NODATA
    values[30, 40, 0] = NODATA  # in one band alone: it is data
    return values


@pytest.fixture
def image(tmp_path):
    return str(write_tiff(tmp_path / "image.tif", pixels(), nodata=NODATA, **PLACE))


def by_files(model, images, folder, **options):
    """What the command line writes: open files of classes, probabilities and uncertainty."""
    names = [str(folder / f"cli_{name}.tif") for name in ("classes", "each", "uncertainty")]
    files = MapFiles(*names, every_class=True)
    map_scene(model, images, files, PredictionOptions(**options))
    return names


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            return source.read(), source.profile, source.tags(), source.descriptions


def opened(path, **options):
    return rioxarray.open_rasterio(path, **options)


def test_arrays_and_files_are_mapped_alike(model, options, image, tmp_path):
    options = options | {"symmetries": True}
    classes, each, uncertainty = by_files(model, [image], tmp_path, **options)
    valid = (pixels() != NODATA).any(-1)
    assert not valid.all()
    maps = model.predict(pixels(), valid=valid, **options)
    np.testing.assert_array_equal(maps.classes, read(classes)[0][0])
    np.testing.assert_array_equal(np.moveaxis(maps.probabilities, -1, 0), read(each)[0])
    np.testing.assert_array_equal(maps.uncertainty, read(uncertainty)[0][0])
    assert set(np.unique(maps.classes)) == {0, 1, 255}


def test_what_an_array_masks_is_no_data(model, options):
    masked = np.ma.masked_equal(pixels(), NODATA)
    valid = (pixels() != NODATA).any(-1)
    maps = model.predict(masked, **options)
    np.testing.assert_array_equal(maps.classes == 255, ~valid)
    expected = model.predict(pixels(), valid=valid, **options)
    np.testing.assert_array_equal(maps.probabilities, expected.probabilities)


WAYS = {
    "as it is": lambda path: opened(path),
    "masked": lambda path: opened(path, masked=True),
    "bands last": lambda path: opened(path).transpose("y", "x", "band"),
    "columns first": lambda path: opened(path).transpose("x", "band", "y"),
    "lazy": lambda path: opened(path, chunks={"x": 32, "y": 16}),
    "lazy and masked": lambda path: opened(path, masked=True, chunks={"y": 20}),
    "other names": lambda path: opened(path).rename(x="longitude", y="latitude", band="channel"),
    "names of its own": lambda path: (
        opened(path).rename(x="e", y="n").rio.set_spatial_dims(x_dim="e", y_dim="n")
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_xarrays_are_mapped_as_their_files_and_keep_their_place(
    model, options, image, tmp_path, way
):
    names = by_files(model, [image], tmp_path, **options)
    array = WAYS[way](image)
    maps = model.predict(array, **options)
    for name, found in zip(
        names, (maps.classes, maps.probabilities, maps.uncertainty), strict=True
    ):
        expected, profile, tags, descriptions = read(name)
        found.rio.to_raster(tmp_path / "m.tif", recalc_transform=False)
        written, own, own_tags, own_descriptions = read(tmp_path / "m.tif")
        np.testing.assert_array_equal(written, expected)
        for key in ("crs", "transform", "dtype", "height", "width", "count"):
            assert own[key] == profile[key], key
        np.testing.assert_equal(own["nodata"], profile["nodata"])
        assert own_descriptions == descriptions
        del tags["images"]
        assert own_tags.items() >= tags.items()
        # By default rioxarray computes the transform from coordinates.
        found.rio.to_raster(tmp_path / "m.tif")
        assert read(tmp_path / "m.tif")[1]["transform"].almost_equals(profile["transform"], 1e-9)
    rows, columns = array.rio.y_dim, array.rio.x_dim
    assert maps.classes.dims == (rows, columns)
    assert maps.probabilities.dims == ("class", rows, columns)
    assert maps.probabilities.coords["class"].values.tolist() == ["background", "building"]
    for found in (maps.classes, maps.probabilities, maps.uncertainty):
        xarray.testing.assert_equal(found[rows], array[rows])
        xarray.testing.assert_equal(found[columns], array[columns])
        assert found.rio.crs == "EPSG:32616"


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.433, 0.25, 5e5, 0.25, -0.433, 4e6),  # by 30 degrees
        Affine(0.5, 0, 5e5, 0, 0.5, 4e6),  # south up
    ],
)
def test_rotated_and_south_up_images_stay_where_they_are(model, tmp_path, transform):
    path = write_tiff(tmp_path / "i.tif", pixels(), crs="EPSG:32616", transform=transform)
    maps = model.predict(opened(path))
    maps.classes.rio.to_raster(tmp_path / "m.tif", recalc_transform=False)
    found, profile, *_ = read(tmp_path / "m.tif")
    np.testing.assert_array_equal(found[0], model.predict(pixels()).classes)
    assert profile["transform"] == transform


def test_a_part_of_an_image_lies_where_its_coordinates_say(model, image, tmp_path):
    part = opened(image)[:, 5:40, 11:60]
    model.predict(part).classes.rio.to_raster(tmp_path / "m.tif")
    found = read(tmp_path / "m.tif")[1]
    expected = Affine(0.3, 0, 512345.7 + 11 * 0.3, 0, -0.3, 4012345.1 - 5 * 0.3)
    assert (found["height"], found["width"]) == (35, 49)
    assert found["transform"].almost_equals(expected, 1e-6)


def test_images_without_a_place_are_mapped(model):
    array = xarray.DataArray(pixels(), dims=("y", "x", "band"))
    maps = model.predict(array)
    np.testing.assert_array_equal(maps.classes, model.predict(pixels()).classes)
    assert maps.classes.dims == ("y", "x")


def test_sixteen_bits_are_unmasked_exactly(tmp_path):
    def change(config):
        config.data.dtype = "uint16"
        config.data.value_range = (0.0, 65535.0)

    model = load(tmp_path / "run", change)
    values = (pixels(kind=np.uint16) * 257).astype(np.uint16)
    path = write_tiff(tmp_path / "i.tif", values, nodata=NODATA * 257, **PLACE)
    one, other = (model.predict(opened(path, masked=masked)) for masked in (False, True))
    for field in ("classes", "probabilities", "uncertainty"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_the_bands_and_the_no_data_value_of_training_are_taken(model, tmp_path):
    def change(config):
        config.data.bands = (4, 1, 2)
        config.data.nodata = 99

    chosen = load(tmp_path / "run", change)
    values = pixels(bands=4)
    values[20:22, 5:9, :] = 99
    path = str(write_tiff(tmp_path / "i.tif", values, nodata=NODATA, **PLACE))
    names = by_files(chosen, [path], tmp_path)
    whole = chosen.predict(opened(path))
    np.testing.assert_array_equal(whole.probabilities, read(names[1])[0])
    assert (whole.classes[20:22, 5:9] == 255).all()
    already = chosen.predict(opened(path).sel(band=[4, 1, 2]))
    np.testing.assert_array_equal(already.probabilities, whole.probabilities)
    plain = chosen.predict(values[..., [3, 0, 1]])
    assert (plain.classes[20:22, 5:9] == 255).all()
    with pytest.raises(UserError, match=r"bands 1, 2; .*trained on 4, 1, 2 .* 4 is missing"):
        chosen.predict(opened(path).sel(band=[1, 2]))


def write_pair(folder, **place):
    first = write_tiff(folder / "a.tif", pixels(1), nodata=NODATA, **PLACE)
    second = write_tiff(folder / "b.tif", pixels(2), **(PLACE | place))
    return [str(first), str(second)]


def test_pairs_on_one_grid_are_mapped_as_their_files(pair_model, tmp_path):
    near = Affine(0.3, 0, 512345.7 + 0.04 * 0.3, 0, -0.3, 4012345.1)  # off by less than a tenth
    paths = write_pair(tmp_path, transform=near)
    names = by_files(pair_model, paths, tmp_path)
    maps = pair_model.predict(*map(opened, paths))
    np.testing.assert_array_equal(maps.classes, read(names[0])[0][0])
    np.testing.assert_array_equal(maps.probabilities, read(names[1])[0])


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"transform": Affine(0.3, 0, 512346.9, 0, -0.3, 4012345.1)}, "first pixel.+4.00 columns"),
        ({"transform": Affine(0.6, 0, 512345.7, 0, -0.6, 4012345.1)}, "pixels of 2 x 2 pixels"),
        ({"crs": "EPSG:32617"}, "CRS EPSG:32617 instead of EPSG:32616"),
    ],
)
def test_pairs_on_other_grids_are_refused_with_the_remedy(pair_model, tmp_path, place, words):
    image, post = map(opened, write_pair(tmp_path, **place))
    with pytest.raises(UserError, match=words) as error:
        pair_model.predict(image, post)
    assert "\n" not in str(error.value)
    assert "post.rio.reproject_match(image)" in str(error.value)
    matched = post.rio.reproject_match(image)
    assert pair_model.predict(image, matched).classes.shape == (HEIGHT, WIDTH)


MISTAKES = {
    "scaled": (lambda a: a / 255, r"image is float.*, with values that were scaled or computed"),
    "scaled, type kept": (
        lambda a: (a / 255).assign_attrs().pipe(lambda b: (b.encoding.update(dtype="uint8"), b)[1]),
        "scaled or computed",
    ),
    "scaled by offsets": (
        lambda a: a.astype("f4").pipe(
            lambda b: (b.encoding.update(dtype="uint8", scale_factor=2.0), b)[1]
        ),
        "scaled or computed",
    ),
    "more than fits": (
        lambda a: (a * 1000.0).pipe(lambda b: (b.encoding.update(dtype="uint8"), b)[1]),
        "holds 7000 to .*, and its file uint8, whose values are 0 to 255",
    ),
    "another type": (lambda a: a.astype("int16"), "image is int16; the network was trained on"),
    "another type masked": (
        lambda a: a.astype("f4").pipe(lambda b: (b.encoding.update(dtype="uint16"), b)[1]),
        "image is uint16; the network was trained on uint8",
    ),
    "one band": (lambda a: a[:1], r"image has 1 band\(s\) .* expects 3"),
    "no bands": (lambda a: a[0], "image has the dimensions y, x; expected y, x and one of bands"),
    "dimensions without a meaning": (
        lambda a: xarray.DataArray(a.values, dims=("a", "b", "c")),
        "image has the dimensions a, b, c; expected y, x and",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_xarrays_that_do_not_fit_are_refused(model, image, mistake):
    change, words = MISTAKES[mistake]
    with pytest.raises(UserError, match=words) as error:
        model.predict(change(opened(image)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (pixels() / 255, {}, "image is float64; the network was trained on uint8"),
        (np.moveaxis(pixels(), -1, 0), {}, r"np\.moveaxis\(image, 0, -1\) puts bands last"),
        (pixels()[..., 0], {}, r"image has the shape \(45, 70\); expected \[rows, columns"),
        (pixels()[:0], {}, r"image has the shape \(0, 70, 3\)"),
        (pixels(), {"valid": np.ones((45, 71), bool)}, "differ in size: 45 x 70 and 45 x 71"),
        (pixels(), {"valid": np.ones((45, 70, 3), bool)}, "45 x 70 and 45 x 70 x 3"),
        (pixels(), {"post": pixels()}, r"takes 1 image\(s\)"),
        (pixels(), {"threshold": 2.0}, "threshold is 2.0"),
        (pixels(), {"batch_size": -1}, "batch_size is -1"),
        (pixels(), {"overlap": 20}, "of a tile of 32 pixels 32 are used, and at most half"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(model, array, options, words):
    with pytest.raises(UserError, match=words):
        model.predict(array, **options)


def test_both_images_of_a_pair_are_asked_for(pair_model):
    with pytest.raises(UserError, match=r"takes 2 image\(s\)"):
        pair_model.predict(pixels())
    with pytest.raises(UserError, match="differ in size: 45 x 70 and 44 x 70"):
        pair_model.predict(pixels(), pixels()[1:])


def test_a_library_that_is_missing_is_one_line(model, image, monkeypatch):
    array = opened(image)
    monkeypatch.setitem(sys.modules, "rioxarray.exceptions", None)
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    with pytest.raises(UserError, match=r"pip install 'noise2map_jax\[gis\]'"):
        model.predict(array)
