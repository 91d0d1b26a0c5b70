"""Polygons -> pixels, and images and masks at another size."""

from collections.abc import Sequence

import numpy as np
import rasterio.features
import shapely
from PIL import Image
from rasterio import Affine

# Pixels by which the sampled points lie beside the pixel centres. GDAL burns a pixel more along
# edges that run exactly through centres, as edges at whole pixels do at half the size; beside them
# an edge belongs to the pixel right of it or below it, as in any half-open interval.
_NUDGE = 1e-6


def rasterise(
    shapes: Sequence[tuple[shapely.Geometry, int]], height: int, width: int, transform: Affine
) -> np.ndarray:
    """Rasterise polygons by pixel centres.

    Args:
      shapes: (polygon or multipolygon, value); where they overlap, the last one counts.
      height: Rows of the result.
      width: Columns of the result.
      transform: (column, row) of the result -> (x, y) of the polygons.

    Returns:
      [height, width] uint8; 0 where the pixel's centre lies in no polygon.
    """
    if not shapes:
        return np.zeros((height, width), np.uint8)
    a, b, c, d, e, f = transform[:6]
    beside = Affine(a, b, c + _NUDGE * (a + b), d, e, f + _NUDGE * (d + e))
    return rasterio.features.rasterize(shapes, (height, width), transform=beside, dtype="uint8")


def resize_image(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image by averaging the pixels that make up each new one.

    The mean neither aliases, as bilinear sampling does when it shrinks, nor overshoots at the edges
    of roofs, as Lanczos does. Where the factor is no whole number, a pixel counts for the new one
    that holds its centre.

    Args:
      pixels: [H, W, 3] uint8.
      height: Rows of the result.
      width: Columns of the result.

    Returns:
      [height, width, 3] uint8.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    picture = Image.fromarray(pixels)
    rows, columns = pixels.shape[0] / height, pixels.shape[1] / width
    if rows == int(rows) and columns == int(columns):  # In one pass, so it is rounded only once.
        return np.asarray(picture.reduce((int(columns), int(rows))))
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX))


def resize_mask(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a mask: each new pixel takes the value under its centre, so none is made up.

    Args:
      values: [H, W] uint8.
      height: Rows of the result.
      width: Columns of the result.

    Returns:
      [height, width] uint8.
    """
    rows = (2 * np.arange(height) + 1) * values.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * values.shape[1] // (2 * width)
    return values[np.ix_(rows, columns)]
