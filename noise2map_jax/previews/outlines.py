"""Outlines of classes over an image."""

import numpy as np

from noise2map_jax.class_maps.class_map import NO_DATA

_DARK = (0, 0, 0)


def draw_outlines(
    image: np.ndarray, classes: np.ndarray, colours: tuple[tuple[int, int, int], ...]
) -> np.ndarray:
    """Draw lines in the colours of classes, with dark ones outside of them.

    The outermost pixels of a region are its line, so that neighbours of different classes have both
    lines. Beside the line lies a dark one, which makes it stand out from bright ground, too.

    Args:
        image: [H, W, 3] uint8.
        classes: [H, W] uint8; class 0 and 255 (no data) have no outlines.
        colours: colour of each class.

    Returns:
        [H, W, 3] uint8.
    """
    regions = np.where(classes == NO_DATA, 0, classes)
    around = np.stack(_neighbours(np.pad(regions, 1, mode="edge")))
    line = (regions > 0) & (around != regions).any(axis=0)
    beside = np.stack(_neighbours(np.pad(line, 1))).any(axis=0)
    drawn = image.copy()
    drawn[beside & (regions == 0)] = _DARK
    drawn[line] = np.array(colours, np.uint8)[regions[line]]
    return drawn


def _neighbours(padded: np.ndarray) -> list[np.ndarray]:
    """Return the eight neighbours of each pixel inside a border of 1, [H, W] each."""
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    return [
        padded[row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
        if (row, column) != (1, 1)
    ]
