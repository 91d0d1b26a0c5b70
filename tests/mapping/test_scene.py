import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from noise2map_jax.errors import UserError
from noise2map_jax.mapping import scene


def write(path, pixels, **options):
    height, width, bands = pixels.shape
    profile = {"crs": "EPSG:32616", "transform": from_origin(5e5, 4e6, 0.5, 0.5)} | options
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=bands,
        dtype=pixels.dtype,
        **profile,
    ) as image:
        image.write(np.moveaxis(pixels, -1, 0))
    return str(path)


def test_windows_hold_the_pixels_and_know_where_there_is_no_data(tmp_path):
    pixels = np.arange(1, 10 * 12 * 3 + 1, dtype=np.uint16).reshape(10, 12, 3)
    pixels[2, 3] = 0
    path = write(tmp_path / "a.tif", pixels, nodata=0)
    with scene.open_image(path) as image:
        tile, valid = scene.read_block(image, Window(-2, -2, 8, 8))
    np.testing.assert_array_equal(tile[2:6, 2:6], pixels[:4, :4])
    np.testing.assert_array_equal(tile[0], tile[4])  # mirrored at the scene's edge
    assert not valid[4, 5]
    assert valid[2:6, 2:6].sum() == 15


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((8, 8, 4), np.uint8), r"4 band.*expects 3 \(--bands=1,2,3 chooses"),
        (np.zeros((8, 8, 1), np.uint8), r"1 band.*expects 3 \(--bands=1,1,1 makes"),
        (np.zeros((8, 8, 3), np.uint16), "uint16.*trained on uint8"),
    ],
)
def test_images_that_do_not_fit_the_network_are_named(tmp_path, pixels, words):
    path = write(tmp_path / "b.tif", pixels, photometric="minisblack")
    with scene.open_image(path) as image, pytest.raises(UserError, match=words):
        scene.check_images([image], 3, "uint8")


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0nonsense")
    for path, words in ((tmp_path / "none.tif", "no image"), (broken, "cannot be read")):
        with pytest.raises(UserError, match=words), scene.open_image(str(path)):
            pass
