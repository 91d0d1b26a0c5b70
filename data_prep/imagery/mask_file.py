"""Reads masks: one value a pixel, as stored."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from data_prep.imagery.bands import MaskRaster, ReadError, grey_mask, palette_mask
from data_prep.imagery.classes_tag import CLASSES_TAG, tagged_classes
from data_prep.imagery.files import (
    check_window,
    is_raster,
    opened_picture,
    opened_raster,
    png_bit_depth,
    read_grid,
    reasoned,
    seen_turn,
)
from data_prep.imagery.raster_bands import rasterio_window
from data_prep.imagery.turn import Window


@reasoned
def read_mask(path: Path, window: Window | None = None) -> MaskRaster:
    """Read a mask.

    Args:
      path: An image file with one value a pixel (grey, palette, or grey stored as RGB).
      window: (row, column, height, width) of what to read of the mask as seen; None: all of it.

    Returns:
      The values; palette indices if the file has a palette.

    Raises:
      ReadError: The file is damaged, or its pixels are not single whole numbers from 0 to 255.
    """
    grid = read_grid(path)
    turn = seen_turn(path, grid)
    if window is not None:
        check_window(window, grid.height, grid.width)
        window = turn.stored_window(window, grid.height, grid.width)
    if is_raster(path):
        with opened_raster(path, by_windows=window is not None) as source:
            return _mask_from_rasterio(source, rasterio_window(window)).turned(turn)
    with opened_picture(path) as picture:
        if window is not None:  # Pillow decodes the whole picture, whose size is checked.
            row, column, rows, columns = window
            cut = picture.crop((column, row, column + columns, row + rows))
            return _mask_from_pillow(cut, png_bit_depth(path)).turned(turn)
        return _mask_from_pillow(picture, png_bit_depth(path)).turned(turn)


def _mask_from_pillow(picture: Image.Image, bit_depth: int | None) -> MaskRaster:
    if picture.mode == "1":
        return MaskRaster(np.array(picture).astype(np.uint8), is_index=True)
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


def _mask_from_rasterio(source: Any, window: RasterioWindow | None) -> MaskRaster:
    one_bit = source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
    names_classes = bool(tagged_classes(source.tags().get(CLASSES_TAG, "")))
    bands = np.moveaxis(source.read(window=window), 0, -1)
    if source.colorinterp[0] == ColorInterp.palette:
        table = source.colormap(1)
        colours = np.array([table.get(index, (0, 0, 0, 0))[:3] for index in range(256)])
        colours = colours[: 2 if one_bit else 256]
        mask = palette_mask(bands[..., 0], colours, one_bit, source.nodata)
        return dataclasses.replace(mask, is_index=one_bit or names_classes)
    if source.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":
        raise ReadError(
            "is a mask stored with white as 0, so that its values may be meant either way (save it"
            " as an ordinary grey TIFF or PNG)"
        )
    has_alpha = source.colorinterp[-1] == ColorInterp.alpha and bands.shape[-1] > 1
    mask = grey_mask(bands, has_alpha, source.nodata)
    return dataclasses.replace(mask, is_index=one_bit or names_classes)
