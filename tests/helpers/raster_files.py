"""Writes GeoTIFFs for tests."""

import numpy as np
import rasterio

GRID = {"crs": "EPSG:32616", "transform": rasterio.Affine(0.5, 0, 100, 0, -0.5, 100)}


def shape_of(bands):
    height, width, count = bands.shape
    return {"height": height, "width": width, "count": count, "dtype": bands.dtype}


def write_tiff(path, bands, colorinterp=None, colormap=None, **profile):
    """Write [H, W, C] as a GeoTIFF."""
    with rasterio.open(
        path, "w", driver="GTiff", **{**GRID, **shape_of(bands), **profile}
    ) as target:
        target.write(np.moveaxis(bands, -1, 0))
        if colorinterp:
            target.colorinterp = colorinterp
        if colormap:
            target.write_colormap(1, colormap)
    return path
