"""Decoded images and masks, and how they are made of the bands of a file (pure)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.basics.dataset import IGNORE
from data_prep.imagery.turn import Turn

_TO_GREY = "python -c \"from PIL import Image; Image.open('IN').convert('L').save('OUT.png')\""


class ReadError(Exception):
    """A file cannot be used; the message is the reason."""


@dataclass(frozen=True)
class ImageRaster:
    """An image as seen, without its alpha band.

    Attributes:
      pixels: [H, W, C] uint8 or uint16.
      valid: [H, W] bool, False where alpha is 0, no-data or masked; None: all pixels are valid.
      alpha_levels: Number of values in the alpha band other than 0 and its maximum; None: the image
        has no alpha band. A large number hints at a spectral band declared as alpha by mistake.
    """

    pixels: np.ndarray
    valid: np.ndarray | None = None
    alpha_levels: int | None = None

    def turned(self, turn: Turn) -> ImageRaster:
        """Return the image after a turn."""
        if not turn:
            return self
        valid = None if self.valid is None else turn.apply(self.valid)
        return ImageRaster(turn.apply(self.pixels), valid, self.alpha_levels)


@dataclass(frozen=True)
class MaskRaster:
    """A mask as stored.

    Attributes:
      values: [H, W] uint8; anything where `missing` is true.
      missing: [H, W] bool, True where the file holds NaN, or a declared no-data value that no class
        can have; None: nowhere.
      nodata: A declared no-data value from 0 to 255. Programs declare 0, 1 or 255 without meaning
        it, so only a value that is no class is one; see `reading/masks.py`.
      is_index: Whether the values are class indices, whatever the encoding of the other masks: the
        file has one bit a pixel, or names its classes.
    """

    values: np.ndarray
    missing: np.ndarray | None = None
    nodata: int | None = None
    is_index: bool = False

    def turned(self, turn: Turn) -> MaskRaster:
        """Return the mask after a turn."""
        if not turn:
            return self
        missing = None if self.missing is None else turn.apply(self.missing)
        return MaskRaster(turn.apply(self.values), missing, self.nodata, self.is_index)


def image_raster(
    bands: np.ndarray,
    chosen: Sequence[int],
    alpha: int | None,
    valid: np.ndarray | None = None,
    nodata: int | None = None,
) -> ImageRaster:
    """Take the bands of an image out of all bands of its file.

    Args:
      bands: [H, W, C], all bands.
      chosen: Indices of the image's bands.
      alpha: Index of the band that is opacity; None: there is none.
      valid: [H, W] bool, False for pixels that the file declares as no data; None: it declares
        none. Alpha counts beside it.
      nodata: A pixel of this value in all bands of the image is no data, though the file does not
        say so; None: there is no such value.
    """
    every = list(chosen) == list(range(bands.shape[-1]))
    pixels = np.ascontiguousarray(bands if every else bands[..., list(chosen)])
    levels = None
    if nodata is not None:
        differs = (pixels != nodata).any(axis=-1)
        valid = differs if valid is None else valid & differs
    if alpha is not None:
        opacity = bands[..., alpha]
        found = np.unique(opacity)
        levels = int(((found > 0) & (found < np.iinfo(opacity.dtype).max)).sum())
        valid = opacity > 0 if valid is None else valid & (opacity > 0)
    return ImageRaster(pixels, None if valid is None or valid.all() else valid, levels)


def palette_mask(
    indices: np.ndarray, colours: np.ndarray, one_bit: bool, nodata: float | None = None
) -> MaskRaster:
    """Take palette indices as classes; in a black and white file of one bit, white is class 1.

    Raises:
      ReadError: Values are not whole numbers from 0 to 255, or 0 is shown as white beside black.
    """
    if one_bit and np.isin(colours, (0, 255)).all() and (np.ptp(colours, axis=1) == 0).all():
        white = (colours[:, 0] == 255).astype(np.uint8)
        return MaskRaster(white[indices], is_index=True)
    black_white = np.isin(colours, (0, 255)).all() and (np.ptp(colours, axis=1) == 0).all()
    if not one_bit and len(colours) and black_white and colours[0].all():
        raise ReadError(
            "is a mask whose palette shows 0 as white and other values as black, so that its values"
            f" may be meant either way ({_TO_GREY} takes white as foreground)"
        )
    mask = grey_mask(indices[..., None], False, nodata)
    return dataclasses.replace(mask, is_index=one_bit)


def grey_mask(bands: np.ndarray, has_alpha: bool, nodata: float | None = None) -> MaskRaster:
    """Reduce [H, W, C] of equal bands, the last perhaps alpha, to one value a pixel.

    Raises:
      ReadError: The bands differ, alpha is not opaque, or values are not whole numbers from 0 to
        255.
    """
    if has_alpha:
        opaque = np.iinfo(bands.dtype).max if bands.dtype.kind in "iu" else 1
        if not (bands[..., -1] == opaque).all():
            raise ReadError(
                "is a mask with transparent pixels, whose meaning is unknown (gdal_translate -b 1"
                " IN OUT.tif leaves the transparency out)"
            )
        bands = bands[..., :-1]
    first = bands[..., 0]
    if bands.shape[-1] not in (1, 3):
        raise ReadError(
            f"has {bands.shape[-1]} bands; a mask has one (gdal_translate -b 1 IN OUT.tif keeps the"
            " first)"
        )
    if bands.dtype.kind == "c":
        raise ReadError("is a mask of complex numbers; expected whole numbers 0 to 255")
    absent = np.isnan(first) if first.dtype.kind == "f" else np.zeros(first.shape, bool)
    differs = ((bands != first[..., None]) & ~(absent[..., None] & np.isnan(bands))).any(-1)
    if differs.any():
        row, column = np.argwhere(differs)[0]
        colour = tuple(bands[row, column].tolist())
        raise ReadError(
            f"is a mask of colours (row {row}, column {column} holds {colour}); expected one value"
            " a pixel (convert each colour to a class index: 0, 1, 2, ..., 255 = ignore; where"
            f" black is the background, {_TO_GREY} and --mask_encoding=nonzero do)"
        )
    in_range = nodata is not None and nodata in range(256)
    if nodata is not None and not in_range:
        absent = absent | (first == nodata)
    kept = np.where(absent, 0, first)
    wrong = (kept < 0) | (kept > IGNORE) | (kept != np.floor(kept))
    if wrong.any():
        raise ReadError(
            f"is a mask that holds {kept[wrong].ravel()[0]:g}; expected whole numbers 0 to 255"
            " (rio edit-info --nodata VALUE FILE says that a value means no data; gdal_translate"
            " -ot Byte -scale 0 GREATEST 0 255 IN OUT.tif spreads others)"
        )
    values = kept.astype(np.uint8)
    return MaskRaster(
        values, absent if absent.any() else None, int(nodata) if in_range and nodata else None
    )
