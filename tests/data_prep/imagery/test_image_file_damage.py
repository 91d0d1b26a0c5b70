"""Damaged image files: read as they are, or refused with a reason."""

import io
import zlib

import numpy as np
import pytest
import rasterio
from PIL import Image
from raster_files import GRID, shape_of, write_tiff

from data_prep.imagery import files
from data_prep.imagery.bands import ReadError
from data_prep.imagery.image_file import read_image


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sources(rng):
    """(name, bytes, image) of each kind."""
    pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
    for name, options in {"a.png": {}, "a.jpg": {"quality": 90}}.items():
        buffer = io.BytesIO()
        kind = "PNG" if name == "a.png" else "JPEG"
        Image.fromarray(pixels).save(buffer, kind, **options)
        yield name, buffer.getvalue()
    for name, options in {"plain.tif": {}, "deflate.tif": {"compress": "deflate"}}.items():
        with rasterio.MemoryFile() as memory:
            with memory.open(driver="GTiff", **GRID, **shape_of(pixels), **options) as target:
                target.write(np.moveaxis(pixels, -1, 0))
            yield name, memory.read()


def test_cut_files_are_refused(tmp_path, rng, capfd):
    for name, whole in sources(rng):
        path = tmp_path / name
        path.write_bytes(whole)
        assert read_image(path).pixels.shape == (64, 64, 3)
        for share in (0.0, 0.01, 0.3, 0.7, 0.95):
            path.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(ReadError) as caught:
                read_image(path)
            assert "\n" not in str(caught.value)
            assert str(tmp_path) not in str(caught.value)
    assert capfd.readouterr().err == ""  # Decoders keep their complaints to themselves.


def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path, rng):
    refused = 0
    for name, whole in sources(rng):
        path = tmp_path / name
        for _ in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 400), rng.integers(1, 6)):
                damaged[place] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                image = read_image(path)
            except ReadError:
                refused += 1
            else:
                assert image.pixels.dtype in (np.uint8, np.uint16)
                assert image.pixels.ndim == 3
    assert refused > 80


def test_no_flipped_bit_of_a_png_changes_the_pixels_unnoticed(tmp_path, rng):
    # Coarse, as a mask: where much is compressed, a decoder follows a wrong bit without a word.
    truth = np.kron(rng.integers(0, 2, (40, 40, 1)), np.ones((8, 8, 1))).astype(np.uint8) * 255
    Image.fromarray(truth[..., 0]).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        (tmp_path / "a.png").write_bytes(damaged)
        try:
            pixels = read_image(tmp_path / "a.png").pixels
        except ReadError:
            continue
        np.testing.assert_array_equal(pixels, truth)


def test_a_huge_header_allocates_nothing(tmp_path, monkeypatch):
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    header = b"IHDR" + (60000).to_bytes(4, "big") * 2 + whole[24:29]
    data = whole[:12] + header + zlib.crc32(header).to_bytes(4, "big") + whole[33:]
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ReadError, match=r"60000|exceeds limit"):
        read_image(tmp_path / "a.png")
    monkeypatch.setattr(files, "MAX_PIXELS", 100)
    write_tiff(tmp_path / "b.tif", np.zeros((20, 20, 1), np.uint8))
    with pytest.raises(ReadError, match="20 x 20 pixels, more than 100"):
        read_image(tmp_path / "b.tif")
