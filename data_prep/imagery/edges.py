"""What windows see beyond the edges of an image: the image, mirrored (pure).

A black edge would look like a thing on the ground; networks would learn it, or take it for one.
"""

import numpy as np


def cut_mirrored(image: np.ndarray, row: int, column: int, side: int) -> np.ndarray:
    """Cut a square window out of an image; beyond the edges it holds mirrored pixels.

    Args:
      image: The image, [H, W, C].
      row: First row of the window.
      column: First column of the window.
      side: Side of the window in pixels.

    Returns:
      The window, [side, side, C], contiguous.
    """
    height, width = image.shape[:2]
    window = image[np.ix_(mirrored(row, side, height), mirrored(column, side, width))]
    return np.ascontiguousarray(window)


def mirrored(offset: int, length: int, size: int) -> np.ndarray:
    """Indices of a window, reflected at the edges of [0, size) as often as needed."""
    period = max(2 * (size - 1), 1)
    position = np.arange(offset, offset + length) % period
    return np.minimum(position, period - position)
