"""Writes a GeoTIFF window by window: complete, or not there."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid
from data_prep.imagery.turn import Window

_STEP = 512  # Rows and columns that are written at once.
_TILE = 256


@contextlib.contextmanager
def created_raster(output: Path, target: Grid, profile: dict[str, Any]) -> Iterator[Any]:
    """Open a compressed GeoTIFF to write.

    Args:
      output: The file. Until it is complete it is called OUTPUT.part.
      target: Its size and where it lies: a grid by an affine transform.
      profile: Number of bands, type and no-data value, as rasterio names them.

    Yields:
      The rasterio dataset.

    Raises:
      ReadError: What was written cannot be read again: the disk is full, for example.
    """
    part = output.with_name(f"{output.name}.part")
    profile = {**profile, "height": target.height, "width": target.width}
    if target.is_placed:
        profile |= {"crs": target.crs, "transform": target.transform}
    tiles = {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE}
    kind = {"driver": "GTiff", "compress": "deflate", "bigtiff": "IF_SAFER"}
    try:
        with warnings.catch_warnings():
            # A mask of an image without a georeference has none either.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with (
                rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
                rasterio.open(part, "w", **kind, **tiles, **profile) as file,
            ):
                yield file
            _check_complete(part)
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)


def _check_complete(path: Path) -> None:
    """Read all blocks: GDAL writes the last ones as it closes a file, and tells no error then."""
    try:
        with rasterio.open(path) as file:
            for _, window in file.block_windows(1):
                file.read(window=window, masked=True)
    except RasterioError as error:
        raise ReadError(
            f"cannot be written: of {path.name} not all arrived on the disk"
            f" ({' '.join(str(error.__cause__ or error).split())}); is it full?"
        ) from None


def windows(grid: Grid) -> Iterator[Window]:
    """Yield windows (row, column, height, width) that cover a grid, row by row."""
    for row in range(0, grid.height, _STEP):
        for column in range(0, grid.width, _STEP):
            yield row, column, min(_STEP, grid.height - row), min(_STEP, grid.width - column)
