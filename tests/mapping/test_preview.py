import contextlib

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.transform import from_origin

from data_prep.imagery.grid import Grid
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import preview, scene
from noise2map_jax.mapping.overview import image_overview

UTM = CRS.from_epsg(32633)
CLASSES = ("background", "building")


@pytest.mark.parametrize(
    ("transform", "crs", "metres", "north"),
    [
        (from_origin(5e5, 5e6, 0.5, 0.5), UTM, 0.5, (0, -1)),
        (Affine(0.5, 0, 5e5, 0, 0.5, 5e6), UTM, 0.5, (0, 1)),  # south-up
        (Affine(0, 0.5, 5e5, 0.5, 0, 5e6), UTM, 0.5, (1, 0)),
        (from_origin(10, 60, 1e-5, 1e-5), CRS.from_epsg(4326), 0.5560, (0, -1)),
        (from_origin(981000, 205000, 1, 1), CRS.from_epsg(2263), 0.3048, (0, -1)),  # feet
        (from_origin(0, 8399737.9, 1, 1), CRS.from_epsg(3857), 0.5, (0, -1)),  # 60 degrees north
    ],
)
def test_metres_and_north(transform, crs, metres, north):
    found, direction = preview.ground_scale(Grid(100, 80, transform, crs))
    assert found == pytest.approx(metres, rel=0.006)
    np.testing.assert_allclose(direction, north, atol=0.02)


def write(path, pixels, **options):
    bands, height, width = pixels.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": bands}
    profile |= {"crs": UTM, "transform": from_origin(5e5, 5e6, 0.5, 0.5)} | options
    with rasterio.open(path, "w", dtype=pixels.dtype, **profile) as target:
        target.write(pixels)
    return str(path)


def drawn(tmp_path, pixels, mapped, dates=1):
    """Return the preview, [H, W, 3]."""
    with contextlib.ExitStack() as stack:
        paths = [write(tmp_path / f"{i}.tif", pixels) for i in range(dates)]
        images = [stack.enter_context(scene.open_image(path)) for path in paths]
        class_map = write(tmp_path / "m.tif", mapped[None], nodata=255)
        preview.write_preview(class_map, images, CLASSES, str(tmp_path / "p.png"))
    assert not list(tmp_path.glob("*.part"))
    with Image.open(tmp_path / "p.png") as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_panels_show_image_map_and_outlines(tmp_path):
    pixels = np.full((3, 200, 240), 90, np.uint8)
    mapped = np.zeros((200, 240), np.uint8)
    mapped[20:60, 30:90] = 1
    mapped[150:] = 255
    picture = drawn(tmp_path, pixels, mapped, dates=2)
    first, second, third, fourth = (8 + i * 248 for i in range(4))
    inside, background, missing, edge = (30 + 40, 60), (30 + 100, 60), (30 + 180, 60), (30 + 20, 60)
    grey = [90, 90, 90]
    for left in (first, second):
        assert picture[inside[0], left + 60].tolist() == grey
    colours = [
        picture[row, third + column].tolist() for row, column in (inside, background, missing)
    ]
    assert colours == [[255, 255, 255], [0, 0, 0], [128, 128, 128]]
    assert picture[inside[0], fourth + 60].tolist() == grey
    assert picture[edge[0], fourth + 60].tolist() == [255, 220, 0]
    assert picture[missing[0], fourth + 60].tolist() == grey
    band = picture[-60:]
    assert (band[:, -140:].min(axis=-1) < 60).any()  # scale and arrow


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (2, 900), (1700, 30)])
def test_scenes_of_any_shape(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 60000, (1, *shape)).astype(np.uint16)
    picture = drawn(tmp_path, pixels, np.ones(shape, np.uint8))
    assert picture.shape[0] >= 30 + 1 + 64
    assert picture.shape[1] >= 3 * 160


def test_an_overview_is_every_so_many_pixels(tmp_path):
    pixels = np.arange(3 * 50 * 70, dtype=np.uint32).reshape(3, 50, 70).astype(np.uint8)
    with scene.open_image(write(tmp_path / "a.tif", pixels)) as image:
        found = image_overview(image, 35)
    np.testing.assert_array_equal(found, np.moveaxis(pixels, 0, -1)[::2, ::2])


def test_places_are_checked(tmp_path):
    preview.check_preview(str(tmp_path / "a.PNG"))
    for path, words in (("a.jpg", "should end in .png"), ("no/a.png", "no folder '.*no'")):
        with pytest.raises(UserError, match=words):
            preview.check_preview(str(tmp_path / path))
