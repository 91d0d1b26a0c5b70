"""Writes files of polygons, as a GIS does."""

import warnings

import numpy as np
import pytest
import shapely

pyogrio = pytest.importorskip("pyogrio", reason="pyogrio is not installed (extra gis)")


def save(path, shapes, crs="EPSG:32616", layer=None, **columns):
    """Write shapes to a file of polygons; one that exists gets another layer or more shapes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        pyogrio.raw.write(
            path,
            shapely.to_wkb(np.array(shapes)),
            list(columns.values()),
            list(columns),
            layer=layer,
            geometry_type="Unknown" if path.suffix != ".shp" else "Polygon",
            crs=crs,
            append=path.exists(),
        )
    return path
