"""Turns a drawn mask into polygons."""

import numpy as np
import rasterio.features
import shapely


def polygons(mask: np.ndarray) -> list[shapely.Polygon]:
    """Outline the connected areas of a mask along the edges of its pixels.

    Args:
      mask: [H, W, 1] uint8, foreground above 0.

    Returns:
      Polygons in pixel coordinates (x = column, y = row, (0, 0) is the outer corner of the first
      pixel), with holes. Rasterised by pixel centres, they give the mask again.
    """
    shapes = rasterio.features.shapes(mask[..., 0], mask=mask[..., 0] > 0, connectivity=4)
    return [shapely.geometry.shape(geometry) for geometry, _ in shapes]
