"""Draws polygons as a mask on the grid of an image.

A polygon is reprojected from its CRS to the image's, then turned into pixel coordinates
(x = column, y = row, (0, 0) is the outer corner of the first pixel). A pixel belongs to the polygon
if its centre does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import rasterio
import shapely

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid, reprojected
from data_prep.reading import polygons, rasters
from data_prep.reading.geojson import Vectors

# Pixels. If a polygon meets the image and has a corner farther off, the polygon is damaged.
_FARTHEST = 1e6
# No building is wider than this in degrees (11 km), and hardly any is narrower in pixels.
_WIDEST_IN_DEGREES = 0.1


@dataclass(frozen=True)
class Footprints:
    """Polygons placed on a grid.

    Attributes:
      polygons: Valid polygons in pixel coordinates that meet the grid.
      reading: How the coordinates of the file were read: its CRS, or "pixels".
      num_outside: Number of polygons that do not meet the grid.
      num_repaired: Number of invalid polygons that were repaired.
      num_empty: Number of features and polygons that cover no area.
    """

    polygons: tuple[shapely.Polygon | shapely.MultiPolygon, ...]
    reading: str
    num_outside: int
    num_repaired: int
    num_empty: int


def place(vectors: Vectors, grid: Grid, *, may_be_pixels: bool = False) -> Footprints:
    """Place polygons on the grid of an image.

    Args:
      vectors: The polygons.
      grid: Grid of the image.
      may_be_pixels: Whether the coordinates may be pixels although the file names degrees, or names
        no CRS, which means degrees. They are taken as pixels if, as degrees, the polygons are too
        wide for buildings. A projected CRS in the file is always believed.

    Returns:
      The polygons that meet the grid, repaired if they were invalid, and counts of the others.

    Raises:
      ReadError: The image has no CRS, a polygon cannot be reprojected or repaired, no polygon of
        several meets the grid, or polygons meet the grid both as degrees and as pixels.
    """
    num_polygons = len(vectors.polygon_ends)
    if grid.crs is None:
        raise ReadError("cannot be placed: the image has no CRS")
    points, reading = _to_pixels(vectors, grid), vectors.crs.to_string()
    meets = _meets(points, vectors, grid)
    if may_be_pixels and _too_wide_for_degrees(vectors):
        meets_as_pixels = _meets(vectors.points, vectors, grid)
        if 0 < meets_as_pixels.sum() <= meets.sum():  # One wide polygon may meet it by chance.
            raise ReadError(
                f"is ambiguous: {meets.sum()} of its {num_polygons} polygons meet the image as"
                f" {reading} and {meets_as_pixels.sum()} as pixels"
            )
        points, meets, reading = vectors.points, meets_as_pixels, "pixels"
    lost = ~np.isfinite(points).all(axis=1)
    if lost.any():
        x, y = vectors.points[lost][0]
        raise ReadError(f"has a corner ({x:g}, {y:g}) that is nowhere in {reading}")
    if num_polygons and not meets.any():
        raise ReadError(f"has {num_polygons} polygons, none of which meets the image ({reading})")
    placed, num_repaired, num_empty = [], 0, vectors.num_empty
    for polygon in _build(points, vectors, meets):
        if not polygon.is_valid:
            polygon = polygons.repair(polygon)
            num_repaired += not polygon.is_empty
            num_empty += polygon.is_empty
        if not polygon.is_empty:
            placed.append(polygon)
    num_outside = num_polygons - int(meets.sum())
    return Footprints(tuple(placed), reading, num_outside, num_repaired, num_empty)


def rasterise(footprints: Footprints, height: int, width: int) -> np.ndarray:
    """Draw footprints as a mask.

    Args:
      footprints: The footprints.
      height: Rows of the grid.
      width: Columns of the grid.

    Returns:
      [H, W] uint8: 1 where the centre of the pixel lies in a footprint, else 0.
    """
    shapes = [(polygon, 1) for polygon in footprints.polygons]
    return rasters.rasterise(shapes, height, width, rasterio.Affine.identity())


def _to_pixels(vectors: Vectors, grid: Grid) -> np.ndarray:
    """Reproject the corners and return their pixel coordinates; corners that fail are NaN."""
    assert grid.crs is not None
    return grid.pixels(reprojected(vectors.points, vectors.crs, grid.crs))


def _too_wide_for_degrees(vectors: Vectors) -> bool:
    """Whether the file names degrees, and most polygons are too wide for buildings in degrees."""
    if not vectors.crs.is_geographic or not len(vectors.polygon_ends):
        return False
    low, high = _boxes(vectors.points, vectors)
    # The median: a damaged corner may widen one polygon, and a cut at the edge may narrow one.
    return bool(np.median((high - low).max(axis=1)) > _WIDEST_IN_DEGREES)


def _boxes(points: np.ndarray, vectors: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest coordinates of each polygon, [P, 2] and [P, 2]."""
    ends = vectors.ring_ends[vectors.polygon_ends - 1]
    starts = np.concatenate([[0], ends[:-1]])
    return np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)


def _meets(points: np.ndarray, vectors: Vectors, grid: Grid) -> np.ndarray:
    """Return [P] bool: whether the box around each polygon meets the grid."""
    if not len(vectors.polygon_ends):
        return np.zeros(0, bool)
    low, high = _boxes(points, vectors)
    return np.all((high > 0) & (low < (grid.width, grid.height)), axis=1)


def _build(points: np.ndarray, vectors: Vectors, wanted: np.ndarray) -> Iterator[shapely.Polygon]:
    """Yield the wanted polygons."""
    ring_starts = np.concatenate([[0], vectors.ring_ends[:-1]])
    polygon_starts = np.concatenate([[0], vectors.polygon_ends[:-1]])
    for index in np.flatnonzero(wanted):
        rings = [
            points[ring_starts[ring] : vectors.ring_ends[ring]]
            for ring in range(polygon_starts[index], vectors.polygon_ends[index])
        ]
        farthest = max(float(np.abs(ring).max()) for ring in rings)
        if farthest > _FARTHEST:
            raise ReadError(f"has a building with a corner {farthest:.3g} pixels off the image")
        yield shapely.Polygon(rings[0], rings[1:])
