"""`data_prep rasterize` draws outlines as masks from which the folder builder makes a dataset."""

import json
import re
import sys

import numpy as np
import pytest
import rasterio
import shapely
from class_maps import write_map
from folder_builds import picture
from outline_files import save
from PIL import Image
from raster_files import write_tiff
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from scipy import ndimage

from data_prep.__main__ import main
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import reprojected
from noise2map_jax.polygons.polygonization import write_polygons

UTM = rasterio.CRS.from_epsg(32616)
PLACE = {"crs": UTM, "transform": from_origin(5e5, 4e6, 0.5, 0.5)}
TURNED = {"crs": UTM, "transform": rasterio.Affine(0.4, 0.3, 5e5, 0.3, -0.4, 4e6)}
HOUSE = shapely.box(10, 20, 30, 60)  # columns 10 to 29, rows 20 to 59
HOUSE_ON_GROUND = shapely.box(5e5 + 5, 4e6 - 30, 5e5 + 15, 4e6 - 10)  # the same in PLACE


@pytest.fixture
def folder(tmp_path):
    """A folder with one image of 90 x 80 pixels, which lies on Earth."""
    (tmp_path / "images").mkdir()
    write_tiff(tmp_path / "images" / "a.tif", picture(0, 90, 80), **PLACE)
    return tmp_path


def rasterize(folder, outlines, *options, images="images"):
    return main(
        [
            "rasterize",
            f"--images={folder / images}",
            f"--outlines={folder / outlines}",
            f"--output={folder / 'masks'}",
            *options,
        ]
    )


def read(path):
    return np.asarray(Image.open(path))


def house(height=90, width=80, value=1):
    mask = np.zeros((height, width), np.uint8)
    mask[20:60, 10:30] = value
    return mask


def error(capsys):
    text = capsys.readouterr().err
    assert len(text.strip().splitlines()) == 1, text
    return text


@pytest.mark.parametrize("place", [PLACE, TURNED, {"crs": None, "transform": PLACE["transform"]}])
def test_outlines_of_a_map_give_the_map_again(folder, place, capsys):
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((700, 530)), 4)
    classes = np.digitize(noise, np.quantile(noise, [0.7, 0.9])).astype(np.uint8)
    write_map(folder / "map.tif", classes, **place)
    write_polygons(str(folder / "map.tif"), str(folder / "map.gpkg"), classes=("b", "house", "hut"))
    options = ["--classes=b,house,hut", "--class_field=class"]
    assert rasterize(folder, "map.gpkg", *options, images="map.tif") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "map.tif"), classes)
    with rasterio.open(folder / "masks" / "map.tif") as mask:
        assert (mask.transform, mask.crs) == (place["transform"], place["crs"])
    assert f"{(classes > 0).mean():.1%} of the pixels are foreground" in capsys.readouterr().out
    options[1] = "--class_field=class_index"
    assert rasterize(folder, "map.gpkg", *options, "--overwrite", images="map.tif") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "map.tif"), classes)


def test_outlines_in_degrees_are_brought_onto_the_image(folder):
    points = shapely.get_coordinates(HOUSE_ON_GROUND)
    degrees = shapely.Polygon(reprojected(points, UTM, rasterio.CRS.from_epsg(4326)))
    save(folder / "houses.geojson", [degrees], crs="EPSG:4326")
    assert rasterize(folder, "houses.geojson") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "a.tif"), house())


def test_one_file_serves_many_images_and_tells_what_is_missing(folder, capsys):
    for name, shift in (("b/c", 1000), ("b/d", 2000)):
        (folder / "images" / "b").mkdir(exist_ok=True)
        place = {**PLACE, "transform": from_origin(5e5 + shift, 4e6, 0.5, 0.5)}
        write_tiff(folder / "images" / f"{name}.tif", picture(1, 90, 80), **place)
    shapes = [shapely.affinity.translate(HOUSE_ON_GROUND, shift) for shift in (0, 1000, 9000)]
    crossing = shapely.Polygon([(5e5, 4e6), (5e5 + 9, 4e6 - 9), (5e5, 4e6 - 9), (5e5 + 9, 4e6)])
    save(folder / "houses.gpkg", [*shapes, crossing])
    assert rasterize(folder, "houses.gpkg") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "b" / "c.tif"), house())
    assert not read(folder / "masks" / "b" / "d.tif").any()
    text = capsys.readouterr().out
    assert "3 masks with 3 outlines" in text
    assert "repaired, for they cross themselves: 1 outline" in text
    assert "left out, for they meet no image: 1 outline" in text
    assert "no outline: 1 image (b/d.tif)" in text


def test_a_file_for_each_image_may_be_empty_or_missing(folder, capsys):
    for name in ("b", "c"):
        write_tiff(folder / "images" / f"{name}.tif", picture(1, 90, 80), **PLACE)
    (folder / "own").mkdir()
    save(folder / "own" / "a.gpkg", [HOUSE_ON_GROUND], kind=np.array(["house"]))
    empty = {"type": "FeatureCollection", "features": []}
    (folder / "own" / "b.geojson").write_text(json.dumps(empty))
    assert rasterize(folder, "own", "--classes=no,house", "--class_field=kind") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "a.tif"), house())
    assert not read(folder / "masks" / "b.tif").any()
    assert not (folder / "masks" / "c.tif").exists()
    assert "no file of outlines, so no mask: 1 image (c.tif)" in capsys.readouterr().out


def test_images_of_one_name_in_two_folders_have_outlines_of_their_own(folder):
    for name in ("x", "y"):
        (folder / "images" / name).mkdir()
        (folder / "own" / name).mkdir(parents=True)
        write_tiff(folder / "images" / name / "b.tif", picture(1, 90, 80), **PLACE)
    save(folder / "own" / "x" / "b.gpkg", [HOUSE_ON_GROUND])
    save(folder / "own" / "y" / "b.gpkg", [shapely.affinity.translate(HOUSE_ON_GROUND, 10)])
    assert rasterize(folder, "own") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "x" / "b.tif"), house())
    moved = np.roll(house(), 20, axis=1)
    np.testing.assert_array_equal(read(folder / "masks" / "y" / "b.tif"), moved)


def test_masks_of_before_are_no_images(folder):
    save(folder / "houses.gpkg", [HOUSE_ON_GROUND])
    inside = f"--output={folder / 'images' / 'masks'}"
    for options in ([inside], [inside, "--overwrite"]):
        assert rasterize(folder, "houses.gpkg", *options) == 0
        assert [p.name for p in (folder / "images" / "masks").rglob("*")] == ["a.tif"]


def test_what_nobody_labelled_is_ignored(folder, capsys):
    save(folder / "houses.gpkg", [HOUSE_ON_GROUND])
    save(folder / "area.gpkg", [shapely.box(5e5, 4e6 - 20, 5e5 + 40, 4e6)])  # rows 0 to 39
    assert rasterize(folder, "houses.gpkg", f"--area={folder / 'area.gpkg'}") == 0
    expected = house()
    expected[40:] = 255
    np.testing.assert_array_equal(read(folder / "masks" / "a.tif"), expected)
    text = capsys.readouterr().out
    assert f"{50 / 90:.1%} lie outside --area" in text
    assert f"{(expected == 1).mean():.1%} of the pixels are foreground" in text
    with rasterio.open(folder / "masks" / "a.tif") as mask:
        assert mask.tags()["classes"] == "0 = background, 1 = building"


def test_of_two_outlines_the_later_counts(folder):
    hut = shapely.box(5e5 + 5, 4e6 - 15, 5e5 + 10, 4e6 - 10)
    save(folder / "houses.gpkg", [HOUSE_ON_GROUND, hut], kind=np.array([1.0, 2.0]))
    assert rasterize(folder, "houses.gpkg", "--classes=a,b,c", "--class_field=kind") == 0
    expected = house()
    expected[20:30, 10:20] = 2
    np.testing.assert_array_equal(read(folder / "masks" / "a.tif"), expected)


@pytest.mark.parametrize("shape", [HOUSE, shapely.affinity.scale(HOUSE, yfact=-1, origin=(0, 0))])
def test_a_plain_picture_has_pixels_as_coordinates(folder, shape):
    """QGIS counts y of such a picture from 0 down."""
    Image.fromarray(picture(0, 90, 80)).save(folder / "images" / "plain.png")
    save(folder / "houses.gpkg", [shape], crs=None)
    assert rasterize(folder, "houses.gpkg", images="images/plain.png") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "plain.tif"), house())
    assert not read_grid(folder / "masks" / "plain.tif").is_placed


def test_an_image_with_control_points_is_met_pixel_by_pixel(folder):
    points = [
        GroundControlPoint(row, column, 5e5 + 0.5 * column + 1e-3 * row * column, 4e6 - 0.5 * row)
        for row in (0, 45, 90)
        for column in (0, 40, 80)
    ]
    bands = picture(0, 90, 80)
    write_tiff(folder / "images" / "a.tif", bands, crs=UTM, gcps=points, transform=None)
    grid = read_grid(folder / "images" / "a.tif")
    pieces = shapely.segmentize(HOUSE, 0.1)  # straight on the image, so curves on the ground
    on_ground = shapely.transform(pieces, lambda xy: grid.coordinates(xy[:, 0], xy[:, 1]))
    save(folder / "houses.gpkg", [on_ground])
    assert rasterize(folder, "houses.gpkg") == 0
    np.testing.assert_array_equal(read(folder / "masks" / "a.tif"), house())


def test_the_folder_builder_makes_a_dataset_of_the_masks(folder):
    save(folder / "houses.gpkg", [HOUSE_ON_GROUND])
    save(folder / "area.gpkg", [shapely.box(5e5, 4e6 - 20, 5e5 + 40, 4e6)])
    assert rasterize(folder, "houses.gpkg", f"--area={folder / 'area.gpkg'}") == 0
    build = ["folder", f"--source={folder}", "--name=mine", f"--data_dir={folder / 'data'}"]
    build += ["--tile_size=64", "--splits=1,0,0"]
    assert main(build) == 0
    manifest = json.loads(next((folder / "data").rglob("manifest.json")).read_text())
    train = manifest["splits"]["train"]
    assert train["class_pixels"] == [40 * 80 - 20 * 20, 20 * 20]


MISTAKES = {
    "crs": "a.tif does not fit: .*houses.gpkg has the CRS EPSG:32616 and the image has no CRS",
    "area": "no polygon of --area meets an image",
    "far": "no outline meets an image: .*covers x 600000 to 600010, .*the image x 500000 to 500040",
    "lines": r"1 of 2 features \(first: number 2\) have points or lines; expected polygons alone",
    "empty": "holds no polygon",
    "layers": "has the layers houses, roads; choose one by --layer",
    "no layer": "has no layer 'huts'; it has houses",
    "no column": "has no column 'kind'; it has none",
    "class": "the column 'kind' holds 'barn'; expected background, building, 0, 1 ",
    "classes": "--classes names 3 classes; say which column tells them apart by --class_field",
    "no polygons": "houses.gpkg cannot be read .*save it as a GeoPackage",
    "exists": "1 of 1 mask exist, such as .*a.tif; --overwrite replaces them",
    "itself": "would overwrite the image",
    "twins": "a.png and .*a.tif would have one mask",
    "plain": "2 images do not say where they lie",
    "no file": "no file .*houses.gpkg",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_a_line(folder, mistake, capsys):
    path, options = folder / "houses.gpkg", []
    shapes, columns = [HOUSE_ON_GROUND], {}
    if mistake == "far":
        shapes = [shapely.box(6e5, 4e6, 6e5 + 10, 4e6 + 10)]
    elif mistake == "lines":
        shapes = [HOUSE_ON_GROUND, HOUSE_ON_GROUND.exterior]
    elif mistake == "empty":
        shapes = [shapely.Polygon()]
    elif mistake == "class":
        columns, options = {"kind": np.array(["barn"])}, ["--class_field=kind"]
    elif mistake in ("crs", "plain"):
        for name in ("a", "b") if mistake == "plain" else ("a",):
            Image.fromarray(picture(0)).save(folder / "images" / f"{name}.tif")
    crs = None if mistake == "plain" else "EPSG:32616"
    if mistake == "no polygons":
        path.write_text("x")
    elif mistake != "no file":
        save(path, shapes, crs=crs, layer="houses", **columns)
    if mistake == "layers":
        save(path, shapes, layer="roads")
    elif mistake == "no layer":
        options = ["--layer=huts"]
    elif mistake == "no column":
        options = ["--class_field=kind"]
    elif mistake == "classes":
        options = ["--classes=a,b,c"]
    elif mistake == "exists":
        assert rasterize(folder, "houses.gpkg") == 0
    elif mistake == "itself":
        options = [f"--output={folder / 'images'}", "--overwrite"]
    elif mistake == "twins":  # a file between them in the order of names
        for name in ("a.png", "a.q.png"):
            Image.fromarray(picture(0)).save(folder / "images" / name)
    elif mistake == "area":
        save(folder / "area.gpkg", [shapely.box(6e5, 4e6, 6e5 + 10, 4e6 + 10)])
        options = [f"--area={folder / 'area.gpkg'}"]
    capsys.readouterr()
    assert rasterize(folder, "houses.gpkg", *options) == 2
    text = error(capsys)
    assert re.search(MISTAKES[mistake], text), text


def test_without_pyogrio_the_extra_is_named(folder, monkeypatch, capsys):
    save(folder / "houses.gpkg", [HOUSE_ON_GROUND])
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    assert rasterize(folder, "houses.gpkg") == 2
    assert "needs pyogrio, which is not installed" in error(capsys)
