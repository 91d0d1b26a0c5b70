"""Draws outlines as the mask of an image, window by window."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio import Affine

from data_prep.basics.dataset import IGNORE
from data_prep.imagery.classes_tag import CLASSES_TAG, classes_tag
from data_prep.imagery.common_ground import plain
from data_prep.imagery.files import reasoned_writing
from data_prep.imagery.grid import Grid
from data_prep.imagery.new_raster import created_raster, windows
from data_prep.imagery.raster_bands import rasterio_window
from data_prep.reading.placed_outlines import Placed


@dataclass(frozen=True)
class Counts:
    """What a mask holds.

    Attributes:
      num_pixels: Pixels of the mask.
      num_foreground: Pixels of any class but the background.
      num_ignored: Pixels outside the area that was labelled.
      shown: The outlines that show, by their place among the file's polygons.
    """

    num_pixels: int
    num_foreground: int
    num_ignored: int
    shown: frozenset[int]


@reasoned_writing
def write_mask(
    output: Path,
    grid: Grid,
    shapes: Placed,
    area: Placed | None,
    classes: Sequence[str],
    update: Callable[[int], Any] = lambda number: None,
) -> Counts:
    """Write a mask of class indices on the grid of an image, as a GeoTIFF that names its classes.

    Args:
      output: The file.
      grid: Grid of the image. By control points or polynomials a GeoTIFF cannot have it, so the
        mask of such an image only has its size.
      shapes: The outlines in pixels of the image.
      area: Outlines of what was labelled, likewise; the mask is 255 beyond them. None: all was.
      classes: Names of the classes, background first.
      update: Called with the number of pixels that were written.

    Returns:
      What the mask holds.

    Raises:
      ReadError: The file cannot be written.
    """
    target = plain(grid)
    if target is None:
        target = dataclasses.replace(
            grid, points=(), rpcs=(), crs=None, transform=Affine.identity()
        )
    num_foreground, num_ignored, shown = 0, 0, set[int]()
    with created_raster(output, target, {"count": 1, "dtype": "uint8"}) as file:
        file.update_tags(**{CLASSES_TAG: classes_tag(classes)})
        for window in windows(target):
            numbers = shapes.drawn(window)
            mask = shapes.classes(numbers)
            if area is not None:
                mask = np.where(area.drawn(window) > 0, mask, np.uint8(IGNORE))
                numbers = numbers[mask != IGNORE]
            num_ignored += int((mask == IGNORE).sum())
            num_foreground += int(((mask > 0) & (mask != IGNORE)).sum())
            shown |= set(shapes.indices[np.unique(numbers[numbers > 0]) - 1].tolist())
            file.write(mask, 1, window=rasterio_window(window))
            update(mask.size)
    return Counts(target.height * target.width, num_foreground, num_ignored, frozenset(shown))
