"""Image files -> arrays: TIFF through rasterio, PNG and JPEG through Pillow.

The kind of a file is read from its first bytes, for names lie. Whatever stops a file from being
used is a `ReadError` with the reason; the caller lists it.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

# A damaged header may claim any size; read whole, this many pixels of three bands stay under
# 2 GiB with all copies.
MAX_PIXELS = 2**27
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class ReadError(Exception):
    """This file cannot be used; the message is the reason."""


@dataclass(frozen=True)
class ImageRaster:
    """An image as stored, without its alpha band.

    Attributes:
      pixels: [H, W, C] uint8 or uint16.
      valid: [H, W] bool, False where alpha is 0, no-data or masked; None: everywhere valid.
      alpha_levels: Number of values of the alpha band other than 0 and its maximum; None: there is
        none. Many of them hint at a spectral band that is declared alpha by mistake.
    """

    pixels: np.ndarray
    valid: np.ndarray | None = None
    alpha_levels: int | None = None


@dataclass(frozen=True)
class MaskRaster:
    """A mask as stored.

    Attributes:
      values: [H, W] uint8.
      is_boolean: The file has one bit a pixel: 1 is class 1, whatever the others' encoding.
    """

    values: np.ndarray
    is_boolean: bool = False


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _reasoned(read: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn whatever a decoder raises on a damaged file into a ReadError."""

    @functools.wraps(read)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return read(*args, **kwargs)
        except ReadError:
            raise
        # Decoders meet damage with nearly any exception type (OSError, SyntaxError, struct.error,
        # zlib.error, IndexError, ...), and none of them may end the build.
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            path = str(args[0])
            raise ReadError(f"cannot be read ({text.replace(path, 'file')})") from error

    return wrapped


@_reasoned
def read_size(path: Path) -> tuple[int, int]:
    """Read height and width of an image or mask from its header, in pixels.

    Raises:
      ReadError: The header is damaged or of a kind that is not read.
    """
    if _needs_rasterio(path):
        with _opened_raster(path) as source:
            return source.height, source.width
    with _opened_picture(path) as picture:
        return picture.height, picture.width


@_reasoned
def read_image(path: Path) -> ImageRaster:
    """Read an image.

    Args:
      path: A PNG, JPEG or TIFF.

    Returns:
      Its pixels as stored, alpha apart.

    Raises:
      ReadError: The file is damaged or of a kind that is not read.
    """
    if _needs_rasterio(path):
        with _opened_raster(path) as source:
            return _image_from_rasterio(source)
    with _opened_picture(path) as picture:
        return _image_from_pillow(picture)


@_reasoned
def read_mask(path: Path) -> MaskRaster:
    """Read a mask.

    Args:
      path: A PNG, JPEG or TIFF with one value a pixel (grey, palette, or grey stored as RGB).

    Returns:
      Its values; palette indices where it has a palette.

    Raises:
      ReadError: The file is damaged or holds no single value a pixel between 0 and 255.
    """
    if _needs_rasterio(path):
        with _opened_raster(path) as source:
            return _mask_from_rasterio(source)
    with _opened_picture(path) as picture:
        return _mask_from_pillow(picture, _png_bit_depth(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(32)
    if not head:
        raise ReadError("is empty")
    return head


def _png_bit_depth(path: Path) -> int | None:
    head = _head(path)
    return head[24] if head.startswith(_PNG_MAGIC) and len(head) > 24 else None


def _is_tiff(path: Path) -> bool:
    return _head(path).startswith(_TIFF_MAGIC)


def _needs_rasterio(path: Path) -> bool:
    # Pillow reads a 16-bit colour PNG as 8 bits without a word.
    return _is_tiff(path) or _png_bit_depth(path) == 16


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ReadError(
            f"has {width} x {height} pixels, more than {MAX_PIXELS}: cut it into smaller scenes"
        )


@contextmanager
def _opened_raster(path: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        # Training needs no coordinates, so a plain TIFF is as good as a GeoTIFF.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        source = rasterio.open(path, driver="GTiff" if _is_tiff(path) else "PNG")
    with source:
        _check_size(source.width, source.height)
        yield source


@contextmanager
def _opened_picture(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Our own limit, checked before any pixel is decoded, stands in for Pillow's.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if _png_bit_depth(path) is not None:
            with Image.open(path) as picture:
                _check_size(*picture.size)
                picture.verify()  # The checksums of all chunks, which decoding does not look at.
        with Image.open(path) as picture:
            if picture.format not in ("PNG", "JPEG", "MPO"):
                raise ReadError(f"is {picture.format}, not PNG, JPEG or TIFF")
            _check_size(*picture.size)
            yield picture


def _split_alpha(bands: np.ndarray) -> ImageRaster:
    """[H, W, C + 1] with alpha last -> image and valid pixels."""
    alpha = bands[..., -1]
    levels = np.unique(alpha)
    valid = alpha > 0
    num_between = int(((levels > 0) & (levels < np.iinfo(alpha.dtype).max)).sum())
    pixels = np.ascontiguousarray(bands[..., :-1])
    return ImageRaster(pixels, None if valid.all() else valid, num_between)


def _image_from_pillow(picture: Image.Image) -> ImageRaster:
    has_alpha = picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info
    if picture.mode not in ("L", "RGB", "P", "LA", "RGBA", "PA"):
        raise ReadError(
            f"has pixels of mode {picture.mode}; grey, RGB or either with alpha is read"
        )
    mode = "L" if picture.mode in ("L", "LA") else "RGB"
    if has_alpha:
        return _split_alpha(np.array(picture.convert("LA" if mode == "L" else "RGBA")))
    pixels = np.array(picture.convert(mode))
    return ImageRaster(pixels[..., None] if pixels.ndim == 2 else pixels)


def _image_from_rasterio(source: Any) -> ImageRaster:
    dtypes = set(source.dtypes)
    if dtypes - {"uint8", "uint16"} or len(dtypes) > 1:
        raise ReadError(f"has pixels of type {', '.join(sorted(dtypes))}; uint8 or uint16 is read")
    bands = np.moveaxis(source.read(), 0, -1)
    if source.colorinterp[0] == ColorInterp.palette:
        table = np.zeros((256, 4), np.uint8)
        for index, colour in source.colormap(1).items():
            table[index] = colour
        return _split_alpha(table[bands[..., 0]])
    if ColorInterp.alpha in source.colorinterp and bands.shape[-1] > 1:
        alpha = source.colorinterp.index(ColorInterp.alpha)
        others = np.delete(bands, alpha, axis=-1)
        return _split_alpha(np.concatenate([others, bands[..., alpha : alpha + 1]], axis=-1))
    valid = source.dataset_mask() > 0
    return ImageRaster(np.ascontiguousarray(bands), None if valid.all() else valid)


def _mask_from_pillow(picture: Image.Image, bit_depth: int | None) -> MaskRaster:
    if picture.mode == "1":
        return MaskRaster(np.array(picture).astype(np.uint8), is_boolean=True)
    if picture.mode == "P":
        indices = np.array(picture)
        colours = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        return _palette_mask(indices, colours, bit_depth == 1)
    if picture.mode == "L" and bit_depth in (2, 4):
        # Pillow spreads 2 and 4 bits over 0..255, which is right for pictures, not for indices.
        return MaskRaster(np.array(picture) // (255 // (2**bit_depth - 1)))
    if picture.mode not in ("L", "RGB", "LA", "RGBA"):
        raise ReadError(f"has pixels of mode {picture.mode}, which is not read as a mask")
    bands = np.array(picture)
    return _grey_mask(bands[..., None] if bands.ndim == 2 else bands, picture.mode.endswith("A"))


def _mask_from_rasterio(source: Any) -> MaskRaster:
    one_bit = source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
    bands = np.moveaxis(source.read(), 0, -1)
    if source.colorinterp[0] == ColorInterp.palette:
        table = source.colormap(1)
        colours = np.array([table.get(index, (0, 0, 0, 0))[:3] for index in range(256)])
        return _palette_mask(bands[..., 0], colours[: 2 if one_bit else 256], one_bit)
    # No-data is not looked at: tools declare 0, 1 or 255 as no-data of masks with no such meaning.
    mask = _grey_mask(bands, source.colorinterp[-1] == ColorInterp.alpha and bands.shape[-1] > 1)
    return MaskRaster(mask.values, is_boolean=one_bit)


def _palette_mask(indices: np.ndarray, colours: np.ndarray, one_bit: bool) -> MaskRaster:
    """Palette indices are classes; one bit of black and white is what it looks like."""
    if one_bit and np.isin(colours, (0, 255)).all() and (np.ptp(colours, axis=1) == 0).all():
        white = (colours[:, 0] == 255).astype(np.uint8)
        return MaskRaster(white[indices], is_boolean=True)
    return MaskRaster(indices.astype(np.uint8), is_boolean=one_bit)


def _grey_mask(bands: np.ndarray, has_alpha: bool) -> MaskRaster:
    if has_alpha:
        if not (bands[..., -1] == np.iinfo(bands.dtype).max).all():
            raise ReadError("is a mask with transparent pixels, whose meaning is not known")
        bands = bands[..., :-1]
    first = bands[..., 0]
    if bands.shape[-1] not in (1, 3):
        raise ReadError(f"has {bands.shape[-1]} bands; a mask has one")
    if (bands != first[..., None]).any():
        row, column = np.argwhere((bands != first[..., None]).any(-1))[0]
        colour = tuple(bands[row, column].tolist())
        raise ReadError(
            f"is a mask of colours (row {row}, column {column} holds {colour}); one value a pixel"
            " is read"
        )
    values = first.astype(np.uint8)
    if first.dtype != np.uint8 and (values != first).any():
        wrong = first[values != first].ravel()[0]
        raise ReadError(f"is a mask that holds {wrong}; values 0 to 255 are read")
    return MaskRaster(values)
