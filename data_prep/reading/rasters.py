"""Rasterises polygons, and resizes images and masks."""

from collections.abc import Sequence

import numpy as np
import rasterio.features
import shapely
from PIL import Image
from rasterio import Affine

# Pixels by which the sampled points are moved off the pixel centres. GDAL burns one pixel too many
# along edges that run exactly through centres, as edges at whole pixels do at half the size. With
# the points moved, an edge belongs to the pixel right of it or below it, as in any half-open
# interval.
_NUDGE = 1e-6


def rasterise(
    shapes: Sequence[tuple[shapely.Geometry, int]],
    height: int,
    width: int,
    transform: Affine,
    dtype: str = "uint8",
) -> np.ndarray:
    """Rasterise polygons by pixel centres.

    Args:
      shapes: (polygon or multipolygon, value); where shapes overlap, the last one counts.
      height: Rows of the result.
      width: Columns of the result.
      transform: (column, row) of the result -> (x, y) of the polygons.
      dtype: Type of the values: uint8 or int32.

    Returns:
      [height, width]; 0 where the pixel's centre lies in no polygon.
    """
    if not shapes:
        return np.zeros((height, width), dtype)
    a, b, c, d, e, f = transform[:6]
    beside = Affine(a, b, c + _NUDGE * (a + b), d, e, f + _NUDGE * (d + e))
    return rasterio.features.rasterize(shapes, (height, width), transform=beside, dtype=dtype)


def resize_image(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image by averaging the pixels that make up each new one.

    Unlike bilinear sampling, the mean does not alias when it shrinks an image; unlike Lanczos, it
    does not overshoot at the edges of roofs. For whole factors it is exact, with halves rounded up;
    for others, a pixel counts for the new pixel that holds its centre.

    Args:
      pixels: [H, W, C] uint8.
      height: Rows of the result.
      width: Columns of the result.

    Returns:
      [height, width, C] uint8.
    """
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (height, width):
        return pixels
    if height % rows == 0 and width % columns == 0:
        return resize_mask(pixels, height, width)
    if rows % height == 0 and columns % width == 0:
        return _mean(pixels, rows // height, columns // width)
    size = (width, height)
    bands = [Image.fromarray(pixels[..., band]) for band in range(pixels.shape[-1])]
    return np.stack([np.asarray(band.resize(size, Image.Resampling.BOX)) for band in bands], -1)


def _mean(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Average blocks of rows x columns pixels (Pillow's `reduce` rounds one mean in nine down)."""
    height, width, num_bands = pixels.shape
    by_row = pixels.reshape(height // rows, rows, width * num_bands)
    # Loops over the few rows of a block: `sum` over a short axis takes twice as long.
    sums = np.zeros((height // rows, width * num_bands), np.uint32)
    for row in range(rows):
        sums += by_row[:, row]
    by_column = sums.reshape(height // rows, width // columns, columns, num_bands)
    sums = np.zeros((height // rows, width // columns, num_bands), np.uint32)
    for column in range(columns):
        sums += by_column[:, :, column]
    area = rows * columns
    return ((2 * sums + area) // (2 * area)).astype(np.uint8)


def resize_mask(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a mask: each new pixel takes the value under its centre, so no value is invented.

    Args:
      values: [H, W] or [H, W, C].
      height: Rows of the result.
      width: Columns of the result.

    Returns:
      [height, width] or [height, width, C]. If a centre lies between pixels, the lower right one is
      taken.
    """
    rows = (2 * np.arange(height) + 1) * values.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * values.shape[1] // (2 * width)
    return values[np.ix_(rows, columns)]
