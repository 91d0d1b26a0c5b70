"""Reads image files as arrays: TIFF through rasterio, PNG and JPEG through Pillow.

The first bytes of a file decide its kind, because names can be wrong. A file that cannot be used
raises a `ReadError` with the reason, and the caller lists it. In a TIFF that is read by windows,
only the blocks that a window touches are decoded, so a mosaic of any size needs little memory.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import rasterio
import rasterio.windows
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from data_prep.imagery.bands import (
    ImageRaster,
    MaskRaster,
    ReadError,
    grey_mask,
    palette_mask,
    split_alpha,
)

# A damaged header may claim any size. An image of this many pixels with three bands takes less than
# 2 GiB with all copies.
MAX_PIXELS = 2**27
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

Window = tuple[int, int, int, int]  # Row and column of the first pixel, height, width.

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _reasoned(read: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn any exception of a decoder into a ReadError."""

    @functools.wraps(read)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return read(*args, **kwargs)
        except ReadError:
            raise
        # On damaged files decoders raise nearly any exception type (OSError, SyntaxError,
        # struct.error, zlib.error, IndexError, ...), and none of them may end the build.
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            path = str(args[0])
            raise ReadError(f"cannot be read ({text.replace(path, 'file')})") from error

    return wrapped


@_reasoned
def read_size(path: Path, *, by_windows: bool = False) -> tuple[int, int]:
    """Read height and width of an image or mask from its header, in pixels.

    Args:
      path: A PNG, JPEG or TIFF.
      by_windows: Whether the file will be read by windows; a TIFF may then have any size.

    Raises:
      ReadError: The header is damaged, or the file is of a kind that is not read.
    """
    if _needs_rasterio(path):
        with _opened_raster(path, by_windows=by_windows) as source:
            return source.height, source.width
    with _opened_picture(path) as picture:
        return picture.height, picture.width


@_reasoned
def read_image(path: Path, window: Window | None = None) -> ImageRaster:
    """Read an image.

    Args:
      path: A PNG, JPEG or TIFF.
      window: (row, column, height, width) of what to read; None: all of it.

    Returns:
      The pixels as stored, without alpha.

    Raises:
      ReadError: The file is damaged or of a kind that is not read.
    """
    if _needs_rasterio(path):
        with _opened_raster(path, by_windows=window is not None) as source:
            return _image_from_rasterio(source, _window_of(source, window))
    with _opened_picture(path) as picture:
        return _image_from_pillow(_cropped(picture, window))


@_reasoned
def read_mask(path: Path, window: Window | None = None) -> MaskRaster:
    """Read a mask.

    Args:
      path: A PNG, JPEG or TIFF with one value a pixel (grey, palette, or grey stored as RGB).
      window: (row, column, height, width) of what to read; None: all of it.

    Returns:
      The values; palette indices if the file has a palette.

    Raises:
      ReadError: The file is damaged, or its pixels are not single values from 0 to 255.
    """
    if _needs_rasterio(path):
        with _opened_raster(path, by_windows=window is not None) as source:
            return _mask_from_rasterio(source, _window_of(source, window))
    with _opened_picture(path) as picture:
        return _mask_from_pillow(_cropped(picture, window), _png_bit_depth(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(32)
    if not head:
        raise ReadError("is empty")
    return head


def _png_bit_depth(path: Path) -> int | None:
    head = _head(path)
    return head[24] if head.startswith(_PNG_MAGIC) and len(head) > 24 else None


def is_tiff(path: Path) -> bool:
    """Return whether the first bytes of a file are those of a TIFF."""
    return _head(path).startswith(_TIFF_MAGIC)


def _needs_rasterio(path: Path) -> bool:
    # Pillow silently reads a 16-bit colour PNG as 8 bits.
    return is_tiff(path) or _png_bit_depth(path) == 16


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ReadError(
            f"has {width} x {height} pixels, more than {MAX_PIXELS}: cut it into smaller scenes"
        )


def _check_window(window: Window, height: int, width: int) -> None:
    row, column, rows, columns = window
    if rows * columns > MAX_PIXELS:
        raise ReadError(f"is read by {columns} x {rows} pixels, more than {MAX_PIXELS}")
    inside = 0 <= row < row + rows <= height and 0 <= column < column + columns <= width
    if not inside:  # rasterio and Pillow would return another shape, or zeros.
        raise ReadError(
            f"has {width} x {height} pixels; the window of {columns} x {rows} at row {row}, column"
            f" {column} reaches beyond them"
        )


def _window_of(source: Any, window: Window | None) -> rasterio.windows.Window | None:
    if window is None:
        return None
    _check_window(window, source.height, source.width)
    row, column, rows, columns = window
    return rasterio.windows.Window(column, row, columns, rows)


def _cropped(picture: Image.Image, window: Window | None) -> Image.Image:
    """Cut a window out of a picture; Pillow decodes the whole picture, whose size is checked."""
    if window is None:
        return picture
    _check_window(window, picture.height, picture.width)
    row, column, rows, columns = window
    return picture.crop((column, row, column + columns, row + rows))


@contextmanager
def _opened_raster(path: Path, *, by_windows: bool = False) -> Iterator[Any]:
    with warnings.catch_warnings():
        # Training needs no coordinates, so a plain TIFF will do.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        source = rasterio.open(path, driver="GTiff" if is_tiff(path) else "PNG")
    with source:
        if not by_windows:
            _check_size(source.width, source.height)
        for height, width in source.block_shapes:
            if height * width > MAX_PIXELS:  # A block is decoded whole, however small the window.
                raise ReadError(f"has blocks of {width} x {height} pixels, more than {MAX_PIXELS}")
        yield source


@contextmanager
def _opened_picture(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # MAX_PIXELS, checked before any pixel is decoded, replaces Pillow's limit.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if _png_bit_depth(path) is not None:
            with Image.open(path) as picture:
                _check_size(*picture.size)
                picture.verify()  # Checks the checksums of all chunks, which decoding does not.
        with Image.open(path) as picture:
            if picture.format not in ("PNG", "JPEG", "MPO"):
                raise ReadError(f"is {picture.format}, not PNG, JPEG or TIFF")
            _check_size(*picture.size)
            yield picture


def _image_from_pillow(picture: Image.Image) -> ImageRaster:
    has_alpha = picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info
    if picture.mode not in ("L", "RGB", "P", "LA", "RGBA", "PA"):
        raise ReadError(
            f"has pixels of mode {picture.mode}; expected grey or RGB, with or without alpha"
        )
    mode = "L" if picture.mode in ("L", "LA") else "RGB"
    if has_alpha:
        return split_alpha(np.array(picture.convert("LA" if mode == "L" else "RGBA")))
    pixels = np.array(picture.convert(mode))
    return ImageRaster(pixels[..., None] if pixels.ndim == 2 else pixels)


def _image_from_rasterio(source: Any, window: rasterio.windows.Window | None) -> ImageRaster:
    dtypes = set(source.dtypes)
    if dtypes - {"uint8", "uint16"} or len(dtypes) > 1:
        raise ReadError(f"has pixels of type {', '.join(sorted(dtypes))}; expected uint8 or uint16")
    bands = np.moveaxis(source.read(window=window), 0, -1)
    if source.colorinterp[0] == ColorInterp.palette:
        table = np.zeros((256, 4), np.uint8)
        for index, colour in source.colormap(1).items():
            table[index] = colour
        return split_alpha(table[bands[..., 0]])
    if ColorInterp.alpha in source.colorinterp and bands.shape[-1] > 1:
        alpha = source.colorinterp.index(ColorInterp.alpha)
        others = np.delete(bands, alpha, axis=-1)
        return split_alpha(np.concatenate([others, bands[..., alpha : alpha + 1]], axis=-1))
    valid = source.dataset_mask(window=window) > 0
    return ImageRaster(np.ascontiguousarray(bands), None if valid.all() else valid)


def _mask_from_pillow(picture: Image.Image, bit_depth: int | None) -> MaskRaster:
    if picture.mode == "1":
        return MaskRaster(np.array(picture).astype(np.uint8), is_boolean=True)
    if picture.mode == "P":
        indices = np.array(picture)
        colours = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        return palette_mask(indices, colours, bit_depth == 1)
    if picture.mode == "L" and bit_depth in (2, 4):
        # Pillow spreads 2 and 4 bits over 0..255: right for pictures, wrong for class indices.
        return MaskRaster(np.array(picture) // (255 // (2**bit_depth - 1)))
    if picture.mode not in ("L", "RGB", "LA", "RGBA"):
        raise ReadError(f"has pixels of mode {picture.mode}, which is not read as a mask")
    bands = np.array(picture)
    return grey_mask(bands[..., None] if bands.ndim == 2 else bands, picture.mode.endswith("A"))


def _mask_from_rasterio(source: Any, window: rasterio.windows.Window | None) -> MaskRaster:
    one_bit = source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
    bands = np.moveaxis(source.read(window=window), 0, -1)
    if source.colorinterp[0] == ColorInterp.palette:
        table = source.colormap(1)
        colours = np.array([table.get(index, (0, 0, 0, 0))[:3] for index in range(256)])
        return palette_mask(bands[..., 0], colours[: 2 if one_bit else 256], one_bit)
    # No-data is ignored: tools declare 0, 1 or 255 as no-data of masks without meaning it.
    mask = grey_mask(bands, source.colorinterp[-1] == ColorInterp.alpha and bands.shape[-1] > 1)
    return MaskRaster(mask.values, is_boolean=one_bit)
