"""GeoJSON files of footprints for tests, and the masks drawn from them."""

import json

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.warp import transform as reproject

from data_prep.imagery.grid import Grid
from data_prep.reading.geojson import read_geojson
from data_prep.reading.geometry import place, rasterise

MERCATOR, WGS84 = CRS.from_epsg(3857), CRS.from_epsg(4326)

PIXEL = 4.777314267823516

GRID = Grid(48, 64, rasterio.Affine(PIXEL, 0, -13556570.0, 0, -PIXEL, 4579425.8), MERCATOR)


def square(x, y, side=8.0):
    """Return a square ring in pixel coordinates."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(*rings, kind="Polygon"):
    return {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": kind, "coordinates": list(rings)},
    }


def collection(*features, crs=None):
    member = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    return {"type": "FeatureCollection", **member, "features": list(features)}


def georeferenced(ring, crs, grid=GRID):
    """Turn pixel coordinates into coordinates of a CRS."""
    x, y = grid.transform * np.array(ring, float).T
    if crs != grid.crs:
        x, y = reproject(grid.crs, crs, x, y)
    return np.stack([x, y], axis=1).tolist()


def read(tmp_path, content):
    path = tmp_path / "a.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_geojson(path)


def draw(tmp_path, content, grid=GRID, **options):
    placed = place(read(tmp_path, content), grid, **options)
    return rasterise(placed, grid.height, grid.width), placed
