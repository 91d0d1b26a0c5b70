"""Opens image files by what they hold: rasterio for GeoTIFF and its kin, Pillow for PNG and JPEG.

The first bytes of a file decide its kind, because names can be wrong. A file that cannot be used
raises a `ReadError` with the reason, and the caller lists it. In a raster that is read by windows,
only the blocks that a window touches are decoded, so a mosaic of any size needs little memory.
"""

import functools
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

import rasterio
import rasterio.windows
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid, grid_of
from data_prep.imagery.turn import EXIF, UPRIGHT, Turn, Window

# Names of files that are read, in lower case.
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".vrt", ".jp2", ".j2k")
# A damaged header may claim any size. An image of this many pixels with three bands takes less than
# 2 GiB with all copies.
MAX_PIXELS = 2**27
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# What GDAL reads beside TIFF, by first bytes: JPEG 2000 (boxed, and a bare codestream), VRT.
_GDAL_MAGIC = {
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"<VRTDataset": "VRT",
}
_HEAD = 32  # Bytes at the beginning of a file that decide its kind.
_ORIENTATION = 0x0112

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def reasoned(read: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn any exception of a decoder into a ReadError; the first argument is the path."""
    return _reasoned(read, "read")


def reasoned_writing(write: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn any exception of an encoder into a ReadError; the first argument is the path."""
    return _reasoned(write, "written")


def _reasoned(function: Callable[Parameters, Result], done: str) -> Callable[Parameters, Result]:
    @functools.wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except ReadError:
            raise
        # On damaged files decoders raise nearly any exception type (OSError, SyntaxError,
        # struct.error, zlib.error, IndexError, ...), and none of them may end the build.
        except Exception as error:
            # rasterio only points to the exception before, which has the reason.
            cause = error.__cause__ if isinstance(error, RasterioError) else None
            text = " ".join(str(cause or error).split()) or type(error).__name__
            path = str(args[0])
            raise ReadError(f"cannot be {done} ({text.replace(path, 'file')})") from error

    return wrapped


def is_raster(path: Path) -> bool:
    """Return whether rasterio reads a file, rather than Pillow."""
    # Pillow silently reads a 16-bit colour PNG as 8 bits.
    return _driver(path) is not None or png_bit_depth(path) == 16


def is_tiff(path: Path) -> bool:
    """Return whether the first bytes of a file are those of a TIFF."""
    return _head(path).startswith(_TIFF_MAGIC)


def names_other_files(path: Path) -> bool:
    """Return whether an image is made of other files, anywhere, that it names: a VRT.

    One that a stranger sends must not be opened: it would show the files of this machine. An empty
    file is none.
    """
    with path.open("rb") as file:
        return _kind(file.read(_HEAD)) == "VRT"


def png_bit_depth(path: Path) -> int | None:
    """Return the bits of a sample of a PNG; None for another kind of file."""
    head = _head(path)
    return head[24] if head.startswith(_PNG_MAGIC) and len(head) > 24 else None


@contextmanager
def opened_raster(
    path: Path, *, by_windows: bool = False, overview: int | None = None
) -> Iterator[Any]:
    """Open a file of which `is_raster` holds, or an overview of it, as a rasterio dataset."""
    with warnings.catch_warnings():
        # Training needs no coordinates, so a plain TIFF will do.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        source = rasterio.open(path, driver=_driver(path) or "PNG", **_level(overview))
    with source:
        if not by_windows:
            _check_size(source.width, source.height)
        for height, width in source.block_shapes:
            if height * width > MAX_PIXELS:  # A block is decoded whole, however small the window.
                raise ReadError(f"has blocks of {width} x {height} pixels, more than {MAX_PIXELS}")
        yield source


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """Open a PNG or JPEG by Pillow."""
    with warnings.catch_warnings():
        # MAX_PIXELS, checked before any pixel is decoded, replaces Pillow's limit.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if png_bit_depth(path) is not None:
            with Image.open(path) as picture:
                _check_size(*picture.size)
                picture.verify()  # Checks the checksums of all chunks, which decoding does not.
        with Image.open(path) as picture:
            if picture.format not in ("PNG", "JPEG", "MPO"):
                raise ReadError(
                    f"is {picture.format}, not PNG, JPEG or TIFF (gdal_translate IN OUT.tif"
                    " converts)"
                )
            _check_size(*picture.size)
            yield picture


@reasoned
def read_grid(path: Path, overview: int | None = None) -> Grid:
    """Read where the pixels of an image lie, from its header: as seen, see `seen_turn`.

    Args:
      path: A file of any kind that is read, with a world file beside it or not.
      overview: Index of an overview, whose pixels are meant; None: those of the image itself.

    Raises:
      ReadError: The file cannot be opened, or its georeference is degenerate.
    """
    with warnings.catch_warnings():
        # A grid without a georeference has no CRS, which tells the caller.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        # GDAL would try all its drivers, among them those of files that name other places.
        driver = _driver(path) or _picture_driver(path)
        with rasterio.open(path, driver=driver, **_level(overview)) as source:
            grid = grid_of(source)
    if grid.width * grid.height > MAX_PIXELS and not _driver(path):
        raise ReadError(f"has {grid.width} x {grid.height} pixels, more than {MAX_PIXELS}")
    return grid.turned(seen_turn(path, grid))


@reasoned
def overviews(path: Path) -> tuple[int, ...]:
    """Return the factors by which an image's overviews are coarser; () if none can be read.

    Raises:
      ReadError: The file cannot be opened.
    """
    if not is_raster(path):
        return ()
    with opened_raster(path, by_windows=True) as source:
        if ColorInterp.palette in source.colorinterp:  # GDAL knows the colours of the image alone.
            return ()
        return tuple(source.overviews(1))


def seen_turn(path: Path, grid: Grid) -> Turn:
    """Return the turn from the pixels stored in a file to the picture that viewers show.

    It is that of the orientation tag of TIFF and Exif, which cameras and phones write. GIS programs
    disregard the tag, so an image that says where it lies on Earth is seen as stored.
    """
    return UPRIGHT if grid.is_placed else _orientation(path)


def check_window(window: Window, height: int, width: int) -> None:
    """Raise a ReadError if a window reaches beyond an image, or is too large."""
    row, column, rows, columns = window
    if rows * columns > MAX_PIXELS:
        raise ReadError(f"is read by {columns} x {rows} pixels, more than {MAX_PIXELS}")
    inside = 0 <= row < row + rows <= height and 0 <= column < column + columns <= width
    if not inside:  # rasterio and Pillow would return another shape, or zeros.
        raise ReadError(
            f"has {width} x {height} pixels; the window of {columns} x {rows} at row {row}, column"
            f" {column} reaches beyond them"
        )


def _level(overview: int | None) -> dict[str, int]:
    return {} if overview is None else {"overview_level": overview}


def _driver(path: Path) -> str | None:
    return _kind(_head(path))


def _kind(head: bytes) -> str | None:
    if head.startswith(_TIFF_MAGIC):
        return "GTiff"
    return next((driver for magic, driver in _GDAL_MAGIC.items() if head.startswith(magic)), None)


def _picture_driver(path: Path) -> str:
    """Return GDAL's name of the kind of a picture that Pillow decodes."""
    head = _head(path)
    if head.startswith(_PNG_MAGIC):
        return "PNG"
    if not head.startswith(_JPEG_MAGIC):
        with opened_picture(path):  # Says of what kind it is.
            raise ReadError("is neither PNG nor JPEG by its first bytes")
    return "JPEG"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise ReadError("is empty")
    return head


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ReadError(
            f"has {width} x {height} pixels, more than {MAX_PIXELS}: cut it into smaller scenes"
        )


def _orientation(path: Path) -> Turn:
    if is_tiff(path):
        tag = _tiff_orientation(path)
    elif _driver(path) or (png_bit_depth(path) is not None and not _has_exif_chunk(path)):
        return UPRIGHT
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                tag = picture.getexif().get(_ORIENTATION, 1)
    return EXIF.get(tag, UPRIGHT)  # 0 and 9 are no orientation; viewers take them as 1.


def _tiff_orientation(path: Path) -> int:
    """Read the tag from the first directory of a TIFF or BigTIFF (GDAL does not tell it)."""
    with path.open("rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
        is_big = struct.unpack(f"{order}H", file.read(2))[0] == 43
        file.seek(8 if is_big else 4)
        offset, count, entry = ("Q", "Q", "HHQ8s") if is_big else ("I", "H", "HHI4s")
        file.seek(*_unpack(order + offset, file))
        (num_entries,) = _unpack(order + count, file)
        for _ in range(num_entries):
            tag, kind, _, value = _unpack(order + entry, file)
            if tag == _ORIENTATION and kind == 3:  # 3: a short
                return int(struct.unpack(f"{order}H", value[:2])[0])
    return 1


def _unpack(form: str, file: BinaryIO) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _has_exif_chunk(path: Path) -> bool:
    """Walk over the headers of a PNG's chunks: Pillow would decode its pixels to find out."""
    with path.open("rb") as file:
        file.seek(len(_PNG_MAGIC))
        while len(header := file.read(8)) == 8:
            if header[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(header[:4], "big") + 4, 1)
    return False
