import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from noise2map_jax.errors import UserError
from noise2map_jax.mapping import scene


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile_size=st.sampled_from([8, 16]),
    margin=st.integers(0, 3),
)
def test_cores_cover_each_pixel_once_and_lie_inside_what_is_read(height, width, tile_size, margin):
    seen = np.zeros((height, width), int)
    for block in scene.blocks(height, width, tile_size, margin):
        core = block.core
        seen[
            core.row_off : core.row_off + core.height, core.col_off : core.col_off + core.width
        ] += 1
        rows, cols = block.inner
        assert margin <= rows.start < rows.stop <= tile_size - margin
        assert margin <= cols.start < cols.stop <= tile_size - margin
    np.testing.assert_array_equal(seen, np.ones((height, width)))


@given(offset=st.integers(-40, 40), length=st.integers(1, 40), size=st.integers(1, 12))
def test_mirroring_is_that_of_numpy(offset, length, size):
    padded = np.pad(np.arange(size), 100, mode="reflect") if size > 1 else np.zeros(201, int)
    np.testing.assert_array_equal(
        scene.mirrored(offset, length, size), padded[100 + offset : 100 + offset + length]
    )


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
    block = next(scene.blocks(10, 12, 8, 2))
    with scene.open_image(path) as image:
        tile, valid = scene.read_block(image, block.read)
    np.testing.assert_array_equal(tile[block.inner], pixels[:4, :4])
    np.testing.assert_array_equal(tile[0], tile[4])  # mirrored at the scene's edge
    assert not valid[4, 5]
    assert valid[block.inner].sum() == 15


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"pixels": np.zeros((8, 9, 3), np.uint8)}, "8 x 8.*8 x 9"),
        ({"pixels": np.zeros((8, 8, 4), np.uint8)}, "4 bands.*expects 3"),
        ({"pixels": np.zeros((8, 8, 3), np.uint16)}, "uint16.*trained on uint8"),
        ({"crs": "EPSG:32617"}, "not on the same grid"),
        ({"transform": from_origin(5e5 + 1, 4e6, 0.5, 0.5)}, "not on the same grid"),
    ],
)
def test_images_that_do_not_fit_are_named(tmp_path, other, words):
    pixels = np.zeros((8, 8, 3), np.uint8)
    paths = [
        write(tmp_path / "a.tif", pixels),
        write(tmp_path / "b.tif", **({"pixels": pixels, "photometric": "minisblack"} | other)),
    ]
    with scene.open_image(paths[0]) as a, scene.open_image(paths[1]) as b:
        scene.check_images([a, a], 3, "uint8")
        with pytest.raises(UserError, match=words):
            scene.check_images([a, b], 3, "uint8")


@pytest.mark.parametrize(
    ("crs", "corner", "pixel"),
    [("EPSG:32616", (5e5, 4e6), 0.5), ("EPSG:4326", (12.0, 45.0), 4.5e-6)],
)
def test_grids_are_compared_in_pixels_in_metres_and_in_degrees(tmp_path, crs, corner, pixel):
    pixels = np.zeros((20, 40, 3), np.uint8)

    def image(name, column=0.0, row=0.0, wider=1.0, higher=1.0):
        x, y = corner[0] + column * pixel, corner[1] - row * pixel
        transform = from_origin(x, y, wider * pixel, higher * pixel)
        return write(tmp_path / f"{name}.tif", pixels, crs=crs, transform=transform)

    first = image("first")
    same = [image("same"), image("near", 0.004, -0.004), image("a_little_wider", wider=1.0001)]
    other = [
        *(image("east", column=0.1), image("south", row=0.1), image("a_pixel_west", column=-1.0)),
        *(
            image("wider", wider=1.001),
            image("higher", higher=1.002),
            image("half", 0, 0, 0.5, 0.5),
        ),
    ]
    with scene.open_image(first) as a:
        for path in same:
            with scene.open_image(path) as b:
                scene.check_images([a, b], 3, "uint8")
        for path in other:
            with (
                scene.open_image(path) as b,
                pytest.raises(UserError, match=f"first.tif' and '{path}' are not on the same grid"),
            ):
                scene.check_images([a, b], 3, "uint8")


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0nonsense")
    for path, words in ((tmp_path / "none.tif", "no image"), (broken, "cannot read")):
        with pytest.raises(UserError, match=words), scene.open_image(str(path)):
            pass
