"""Turns decoded bands into an image or a mask (pure)."""

from dataclasses import dataclass

import numpy as np


class ReadError(Exception):
    """A file cannot be used; the message is the reason."""


@dataclass(frozen=True)
class ImageRaster:
    """An image as stored, without its alpha band.

    Attributes:
      pixels: [H, W, C] uint8 or uint16.
      valid: [H, W] bool, False where alpha is 0, no-data or masked; None: all pixels are valid.
      alpha_levels: Number of values in the alpha band other than 0 and its maximum; None: the image
        has no alpha band. A large number hints at a spectral band declared as alpha by mistake.
    """

    pixels: np.ndarray
    valid: np.ndarray | None = None
    alpha_levels: int | None = None


@dataclass(frozen=True)
class MaskRaster:
    """A mask as stored.

    Attributes:
      values: [H, W] uint8.
      is_boolean: Whether the file has one bit a pixel; 1 is then class 1, whatever the encoding of
        the other masks.
    """

    values: np.ndarray
    is_boolean: bool = False


def split_alpha(bands: np.ndarray) -> ImageRaster:
    """Split [H, W, C + 1] with alpha last into an image and its valid pixels."""
    alpha = bands[..., -1]
    levels = np.unique(alpha)
    valid = alpha > 0
    num_between = int(((levels > 0) & (levels < np.iinfo(alpha.dtype).max)).sum())
    pixels = np.ascontiguousarray(bands[..., :-1])
    return ImageRaster(pixels, None if valid.all() else valid, num_between)


def palette_mask(indices: np.ndarray, colours: np.ndarray, one_bit: bool) -> MaskRaster:
    """Take palette indices as classes; in a black and white file of one bit, white is class 1."""
    if one_bit and np.isin(colours, (0, 255)).all() and (np.ptp(colours, axis=1) == 0).all():
        white = (colours[:, 0] == 255).astype(np.uint8)
        return MaskRaster(white[indices], is_boolean=True)
    return MaskRaster(indices.astype(np.uint8), is_boolean=one_bit)


def grey_mask(bands: np.ndarray, has_alpha: bool) -> MaskRaster:
    """Reduce [H, W, C] of equal bands, the last perhaps alpha, to one value a pixel.

    Raises:
      ReadError: The bands differ, alpha is not opaque, or values lie outside 0 to 255.
    """
    if has_alpha:
        if not (bands[..., -1] == np.iinfo(bands.dtype).max).all():
            raise ReadError("is a mask with transparent pixels, whose meaning is unknown")
        bands = bands[..., :-1]
    first = bands[..., 0]
    if bands.shape[-1] not in (1, 3):
        raise ReadError(f"has {bands.shape[-1]} bands; a mask has one")
    if (bands != first[..., None]).any():
        row, column = np.argwhere((bands != first[..., None]).any(-1))[0]
        colour = tuple(bands[row, column].tolist())
        raise ReadError(
            f"is a mask of colours (row {row}, column {column} holds {colour}); expected one value"
            " a pixel"
        )
    values = first.astype(np.uint8)
    if first.dtype != np.uint8 and (values != first).any():
        wrong = first[values != first].ravel()[0]
        raise ReadError(f"is a mask that holds {wrong}; expected values 0 to 255")
    return MaskRaster(values)
