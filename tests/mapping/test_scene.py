import contextlib
import shlex
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
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


def opened(stack, *paths):
    return [stack.enter_context(scene.open_image(path)) for path in paths]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"pixels": np.zeros((8, 9, 3), np.uint8)}, "9 x 8 pixels instead of 8 x 8"),
        ({"crs": "EPSG:32617"}, "CRS EPSG:32617 instead of EPSG:32616.*no common ground"),
        (
            {"transform": from_origin(5e5 + 1, 4e6, 0.5, 0.5)},
            r"first pixel \+2.00 columns and \+0.00 rows away",
        ),
        ({"transform": from_origin(5e5, 4e6, 1.0, 1.0)}, "pixels of 2 x 2 pixels"),
    ],
)
def test_pairs_on_other_grids_are_refused_with_the_difference(tmp_path, other, words):
    pixels = np.zeros((8, 8, 3), np.uint8)
    with contextlib.ExitStack() as stack:
        paths = [
            write(tmp_path / "a.tif", pixels),
            write(tmp_path / "b.tif", **({"pixels": pixels} | other)),
        ]
        a, b = opened(stack, *paths)
        assert scene.aligned([a, a]) == ([a, a], [])
        with pytest.raises(UserError, match=words):
            scene.aligned([a, b])


def test_the_command_that_a_refusal_names_makes_a_pair(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    first, other = tmp_path / "a.tif", tmp_path / "b 2.tif"
    paths = [
        write(first, pixels),
        write(other, pixels, transform=from_origin(5e5 + 0.4, 4e6, 0.5, 0.5)),
    ]
    with contextlib.ExitStack() as stack:
        with pytest.raises(UserError) as caught:
            scene.aligned(opened(stack, *paths))
        words = shlex.split(str(caught.value).split("(rio ")[1].split(" brings")[0])
        target = tmp_path / "OUT.tif"
        words = [str(target) if word == "OUT.tif" else word for word in words]
        rio = "from rasterio.rio.main import main_group; main_group()"
        subprocess.run([sys.executable, "-c", rio, *words], check=True)
        images, notes = scene.aligned(opened(stack, paths[0], str(target)))
        assert (len(images), notes) == (2, [])


def test_a_turned_date_is_turned_back_by_windows(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 256, (10, 14, 3)).astype(np.uint8)
    south_up = rasterio.Affine(0.5, 0, 5e5, 0, 0.5, 4e6 - 5)
    with contextlib.ExitStack() as stack:
        first, other = opened(
            stack,
            write(tmp_path / "a.tif", pixels),
            write(tmp_path / "b.tif", pixels[::-1], transform=south_up),
        )
        (_, turned), notes = scene.aligned([first, other])
        assert notes == [
            f"{other.path} is mirrored top to bottom to lie on the grid of {first.path}"
        ]
        for block in scene.blocks(10, 14, 8, 2):
            for one, two in zip(
                scene.read_block(first, block.read),
                scene.read_block(turned, block.read),
                strict=True,
            ):
                np.testing.assert_array_equal(one, two)


def test_a_date_that_does_not_say_where_it_lies_is_noted(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "b.png")
    with contextlib.ExitStack() as stack:
        first, other = opened(stack, write(tmp_path / "a.tif", pixels), str(tmp_path / "b.png"))
        _, notes = scene.aligned([first, other])
        assert "b.png does not say where it lies" in notes[0]
    Image.fromarray(pixels[:, 1:]).save(tmp_path / "c.png")
    with contextlib.ExitStack() as stack:
        first, other = opened(stack, str(tmp_path / "a.tif"), str(tmp_path / "c.png"))
        with pytest.raises(UserError, match="differ in size: 8 x 8 and 8 x 7"):
            scene.aligned([first, other])


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0nonsense")
    for path, words in ((tmp_path / "none.tif", "no image"), (broken, "cannot be read")):
        with pytest.raises(UserError, match=words), scene.open_image(str(path)):
            pass
