"""Reads the bands of an open rasterio dataset as people see them."""

from typing import Any

import numpy as np
from PIL import Image
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RasterioWindow

from data_prep.imagery.band_choice import BandChoice
from data_prep.imagery.bands import ImageRaster, ReadError, image_raster
from data_prep.imagery.turn import Window

_PALETTE_BANDS = 4  # Red, green, blue and opacity of a colour table.


class RasterBands:
    """The chosen bands of an open dataset.

    Attributes:
      chosen: Indices of the bands that are read.
      dtype: uint8 or uint16, as seen.
    """

    def __init__(self, source: Any, choice: BandChoice):
        """Look at the header.

        Raises:
          ReadError: Its pixels are of a type that is not read, or a band is missing.
        """
        dtypes = set(source.dtypes)
        if dtypes - {"uint8", "uint16"} or len(dtypes) > 1:
            raise ReadError(
                f"has pixels of type {', '.join(sorted(dtypes))}; expected uint8 or uint16"
                " (gdal_translate -ot UInt16 -scale LEAST GREATEST 0 65535 IN OUT converts, with"
                " the same two numbers for all images)"
            )
        self._source = source
        self._table = _colour_table(source)
        flagged = None
        if ColorInterp.alpha in source.colorinterp and source.count > 1:
            flagged = source.colorinterp.index(ColorInterp.alpha)
        num_bands = source.count
        if self._table is not None:
            num_bands, flagged = self._table.shape[1], None
            if num_bands == _PALETTE_BANDS:
                flagged = 3
        self.chosen, self._alpha = choice.of(num_bands, flagged)
        self._nodata = choice.nodata
        self.dtype = "uint8" if self._table is not None else source.dtypes[0]

    def __call__(self, window: Window | None) -> ImageRaster:
        """Read a window (row, column, height, width) of the file as stored, or all of it."""
        where = rasterio_window(window)
        stored = np.moveaxis(self._source.read(window=where), 0, -1)
        valid = self._valid(stored, where)
        seen = self._spread(stored) if self._table is None else self._table[stored[..., 0]]
        return image_raster(seen, self.chosen, self._alpha, valid, self._nodata)

    def _valid(self, stored: np.ndarray, where: RasterioWindow | None) -> np.ndarray | None:
        """Return where the file declares pixels as data, its alpha apart."""
        source = self._source
        if source.nodata is not None:
            valid = (stored != source.nodata).any(axis=-1)
        elif any(MaskFlags.per_dataset in flags for flags in source.mask_flag_enums) and not any(
            MaskFlags.alpha in flags for flags in source.mask_flag_enums
        ):
            valid = source.dataset_mask(window=where) > 0
        else:
            return None
        return valid

    def _spread(self, stored: np.ndarray) -> np.ndarray:
        """Make samples of few bits 0 to 255, and white bright."""
        bits = int(self._source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 0))
        greatest = np.iinfo(stored.dtype).max
        if bits in (1, 2, 4):
            stored = stored * stored.dtype.type(255 // (2**bits - 1))
        elif bits:
            greatest = 2**bits - 1
        if self._source.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":
            stored = stored.dtype.type(greatest) - stored
        return stored


def rasterio_window(window: Window | None) -> RasterioWindow | None:
    """Return rasterio's form of a window."""
    if window is None:
        return None
    row, column, rows, columns = window
    return RasterioWindow(column, row, columns, rows)


def picture_bands(picture: Image.Image) -> tuple[np.ndarray, int | None]:
    """Decode a Pillow picture: its bands [H, W, C], and the index of alpha or None.

    Raises:
      ReadError: Its mode is not read.
    """
    if picture.mode not in _MODES:
        raise ReadError(
            f"has pixels of mode {picture.mode}; expected grey or RGB, with or without alpha"
        )
    has_alpha = picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info
    mode = _MODES[picture.mode] + ("A" if has_alpha else "")
    bands = np.array(picture.convert(mode))
    bands = bands[..., None] if bands.ndim == 2 else bands
    return bands, bands.shape[-1] - 1 if has_alpha else None


# Pillow's mode -> the mode that is read.
_MODES = {"1": "L", "L": "L", "LA": "L"} | dict.fromkeys(("RGB", "RGBA", "P", "PA", "CMYK"), "RGB")


def _colour_table(source: Any) -> np.ndarray | None:
    if source.colorinterp[0] != ColorInterp.palette:
        return None
    table = np.zeros((2 ** (8 * np.dtype(source.dtypes[0]).itemsize), _PALETTE_BANDS), np.uint8)
    table[:, 3] = 255
    colours = source.colormap(1)
    for index, colour in colours.items():
        table[index] = colour
    used = table[list(colours)]
    if (used[:, 3] < 255).any():
        return table
    # GDAL gives every image of one bit a colour table; a PNG of one bit is one band of grey.
    one_bit = source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
    is_grey = (used[:, :3] == used[:, :1]).all()
    return table[:, :1] if one_bit and is_grey else table[:, :3]
