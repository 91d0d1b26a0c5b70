"""Finds where images lie on Earth, and which images touch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import shapely
from rasterio.crs import CRS

from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import Grid, reprojected

_WGS84 = CRS.from_epsg(4326)
_TOLERANCE = 1.0  # Pixels of the coarser image: rounding may part crops of one mosaic.
_POINTS_A_SIDE = 21  # A straight edge in one CRS is a curve in another.


def read(path: Path) -> Grid | None:
    """Read where the pixels of an image lie on Earth, from its header.

    Args:
      path: An image of any kind.

    Returns:
      The grid; None if the file does not give one: no CRS, no transform or control points, or a CRS
      that does not lead to Earth's surface.
    """
    try:
        grid = read_grid(path)
    except ReadError:  # Reading its pixels will report what is wrong.
        return None
    return grid if is_on_earth(grid) else None


def is_on_earth(grid: Grid) -> bool:
    """Return whether a grid has a CRS, a transform, and a longitude and latitude all around."""
    if grid.crs is None or not grid.is_placed:
        return False
    return bool(np.isfinite(_outline(grid, _WGS84)).all())


def touching(grids: Sequence[Grid]) -> Iterator[tuple[int, int]]:
    """Find the images that touch or overlap.

    Args:
      grids: Grids of the images in any CRS; `is_on_earth` holds for each.

    Yields:
      Pairs of indices (i < j), each once. The gap between the two images, in the coordinates of
      either, is at most one pixel of the coarser image.
    """
    boxes, owners = [], []
    for index, grid in enumerate(grids):
        for box in _boxes(grid):
            boxes.append(box)
            owners.append(index)
    if not boxes:  # STRtree does not take an empty list.
        return
    owner = np.array(owners, int)
    pairs = owner[shapely.STRtree(boxes).query(boxes, predicate="intersects")]
    for i, j in np.unique(pairs[:, pairs[0] < pairs[1]], axis=1).T.tolist():
        if min(_gap(grids[i], grids[j]), _gap(grids[j], grids[i])) <= _TOLERANCE:
            yield i, j


def _outline(grid: Grid, crs: CRS) -> np.ndarray:
    """Return points along the border of a grid in a CRS, [N, 2]; points that fail are NaN."""
    assert grid.crs is not None
    along = np.linspace(0, 1, _POINTS_A_SIDE)[:-1]
    zeros, ones = np.zeros_like(along), np.ones_like(along)
    columns = grid.width * np.concatenate([along, ones, 1 - along, zeros])
    rows = grid.height * np.concatenate([zeros, along, ones, 1 - along])
    return reprojected(grid.coordinates(columns, rows), grid.crs, crs)


def _boxes(grid: Grid) -> list[shapely.Polygon]:
    """Return boxes of longitude and latitude that hold a grid and a margin of its pixels.

    A grid at the antimeridian has several boxes, 360 degrees apart.
    """
    longitude, latitude = _outline(grid, _WGS84).T
    if np.ptp(longitude) >= 180:  # Across the antimeridian, around a pole, or around the Earth.
        pole = 90 if latitude.mean() > 0 else -90
        latitude, longitude = np.append(latitude, pole), np.array([-180.0, 180.0])
    longitude -= 360 * np.floor((longitude.min() + 180) / 360)
    # A pixel is at most as wide as its share of the shorter side.
    margin = 2 * np.array([np.ptp(longitude), np.ptp(latitude)]) / min(grid.height, grid.width)
    west, east = longitude.min() - margin[0], longitude.max() + margin[0]
    south, north = latitude.min() - margin[1], latitude.max() + margin[1]
    turns = [0, *([-360] if east > 180 else []), *([360] if west < -180 else [])]
    return [shapely.box(west + turn, south, east + turn, north) for turn in turns]


def _gap(first: Grid, second: Grid) -> float:
    """Return the distance between two images in pixels of the first; infinite if it has none."""
    assert first.crs is not None
    points = _outline(second, first.crs)
    if first.crs.is_geographic:  # Longitudes of 181 and -179 degrees are the same.
        middle = (first.transform * (first.width / 2, first.height / 2))[0]
        points[:, 0] += 360 * np.round((middle - points[:, 0].mean()) / 360)
    if not np.isfinite(points).all():
        return np.inf
    outline = shapely.Polygon(first.pixels(points))
    return float(shapely.box(0, 0, first.width, first.height).distance(outline))
