"""Reads images as people see them, whole or by windows. Datasets and maps read through it alike.

Palettes become colours, CMYK becomes RGB, samples of one, two and four bits become 0 to 255, white
is bright whichever number stands for it, and the orientation tag of cameras is applied. Other
values stay as stored: nothing is stretched, and scale and offset of a band are not applied.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.imagery.band_choice import AS_FLAGGED, BandChoice
from data_prep.imagery.bands import ImageRaster, image_raster
from data_prep.imagery.files import (
    check_window,
    is_raster,
    opened_picture,
    opened_raster,
    read_grid,
    reasoned,
    seen_turn,
)
from data_prep.imagery.grid import Grid
from data_prep.imagery.raster_bands import RasterBands, picture_bands
from data_prep.imagery.turn import Turn, Window


@dataclass(frozen=True)
class ImageFile:
    """An open image.

    Attributes:
      path: Path of the file.
      grid: Where its pixels lie; height and width are those of the image as seen.
      num_bands: Number of bands, without alpha unless it was chosen as a band.
      dtype: uint8 or uint16.
      notes: What was done so that pixels are as seen, as participles.
      turn: From what `load` reads to the image as seen.
      load: Reads a window before the turn.
    """

    path: Path
    grid: Grid
    num_bands: int
    dtype: str
    notes: tuple[str, ...]
    turn: Turn
    load: Callable[[Window | None], ImageRaster]

    def turned(self, turn: Turn) -> ImageFile:
        """Return the same open image after a further turn."""
        read = functools.partial(_read, self.path, self)
        return dataclasses.replace(self, grid=self.grid.turned(turn), turn=turn, load=read)

    def read(self, window: Window | None = None) -> ImageRaster:
        """Read pixels.

        Args:
          window: (row, column, height, width) of what to read of the image as seen; None: all.

        Raises:
          ReadError: Pixels are damaged, or the window reaches beyond the image.
        """
        return _read(self.path, self, window)


@contextmanager
def open_image(
    path: Path,
    choice: BandChoice = AS_FLAGGED,
    *,
    by_windows: bool = False,
    overview: int | None = None,
) -> Iterator[ImageFile]:
    """Open an image to read it, whole or by windows.

    Args:
      path: A GeoTIFF, VRT, JPEG 2000, PNG or JPEG; its first bytes count, not its name.
      choice: Which bands to read, and what alpha means.
      by_windows: Whether it will be read by windows; a raster may then have any size.
      overview: Index of the overview to read instead of the image itself; see `files.overviews`.

    Raises:
      ReadError: The file is damaged or of a kind that is not read.
    """
    opened = _opened(path, choice, by_windows, overview)
    try:
        yield _begin(path, opened)
    finally:
        opened.close()


def read_image(
    path: Path, window: Window | None = None, choice: BandChoice = AS_FLAGGED
) -> ImageRaster:
    """Read an image, or a window of it; see `open_image` and `ImageFile.read`."""
    with open_image(path, choice, by_windows=window is not None) as image:
        return image.read(window)


@reasoned
def read_size(path: Path, *, by_windows: bool = False) -> tuple[int, int]:
    """Read height and width of an image or mask as seen, in pixels, from its header.

    Args:
      path: See `open_image`.
      by_windows: Whether the file will be read by windows; a raster may then have any size.

    Raises:
      ReadError: The header is damaged, or the file is of a kind that is not read.
    """
    if is_raster(path):
        with opened_raster(path, by_windows=by_windows):
            pass
    else:
        with opened_picture(path):
            pass
    grid = read_grid(path)
    return grid.height, grid.width


@reasoned
def _begin(path: Path, opened: Iterator[ImageFile]) -> ImageFile:
    return next(opened)


@reasoned
def _read(path: Path, image: ImageFile, window: Window | None) -> ImageRaster:
    if window is not None:
        check_window(window, image.grid.height, image.grid.width)
        window = image.turn.stored_window(window, image.grid.height, image.grid.width)
    return image.load(window).turned(image.turn)


def _opened(path: Path, choice: BandChoice, by_windows: bool, overview: int | None) -> Any:
    """Yield the open image once; closing the generator closes the file."""
    grid = read_grid(path, overview)
    turn = seen_turn(path, grid)
    notes: tuple[str, ...] = (f"{turn.in_words()}, as its orientation tag says",) if turn else ()
    if is_raster(path):
        with opened_raster(path, by_windows=by_windows, overview=overview) as source:
            bands = RasterBands(source, choice)
            choice.check_nodata(bands.dtype)
            yield ImageFile(path, grid, len(bands.chosen), bands.dtype, notes, turn, bands)
        return
    with opened_picture(path) as picture:
        if picture.mode == "CMYK":
            notes += ("converted from CMYK to RGB",)
        decoded, flagged = picture_bands(picture)  # Pillow decodes the whole picture at once.
    chosen, alpha = choice.of(decoded.shape[-1], flagged)
    choice.check_nodata("uint8")

    def load(window: Window | None) -> ImageRaster:
        row, column, rows, columns = window or (0, 0, *decoded.shape[:2])
        cut = decoded[row : row + rows, column : column + columns]
        return image_raster(cut, chosen, alpha, nodata=choice.nodata)

    yield ImageFile(path, grid, len(chosen), "uint8", notes, turn, load)
