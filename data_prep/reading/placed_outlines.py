"""Places outlines on the grid of an image, and draws them there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from rasterio import Affine

from data_prep.imagery.bands import ReadError
from data_prep.imagery.common_ground import bounds
from data_prep.imagery.grid import Grid, crs_name, lattice, reprojected
from data_prep.imagery.turn import UPRIGHT, Turn, Window
from data_prep.reading import polygons, rasters
from data_prep.reading.outlines import MEND, Outlines

_BORDER_POINTS = 21  # Points a side by which the ground of an image is found in another CRS.
_BESIDE = 0.1  # Share of an image's extent that is searched beyond it, for its edges may be curves.
# A straight line of the outlines may be a curve on the image, so it is placed in pieces, of this
# share of the searched ground at most: over 100 km the curve leaves a piece by centimetres.
_PIECE = 1 / 64
_MANY_CORNERS = 200  # Outlines with more are cut to a window before they are drawn.
_ROOM = 2.0  # Pixels beyond a window that stay when an outline is cut.


@dataclass(frozen=True)
class Placed:
    """Polygons in pixels of an image: x = column, y = row, (0, 0) is the first pixel's corner.

    Attributes:
      shapes: [M] polygons and multipolygons, in the order of the file.
      values: [M] uint8, the class index of each.
      indices: [M] the place of each among the file's polygons.
      num_repaired: How many crossed themselves and were repaired.
      tree: Finds the shapes that meet a box.
    """

    shapes: np.ndarray
    values: np.ndarray
    indices: np.ndarray
    num_repaired: int
    tree: shapely.STRtree

    def drawn(self, window: Window) -> np.ndarray:
        """Draw a window of the image: [H, W] int32, the number (1 to M) of the polygon that shows.

        It is 0 where no pixel centre lies in a polygon. Where polygons overlap, the last one shows.
        """
        row, column, height, width = window
        near = np.sort(self.tree.query(shapely.box(column, row, column + width, row + height)))
        shapes = self.shapes[near]
        for i in np.flatnonzero(shapely.get_num_coordinates(shapes) > _MANY_CORNERS):
            shapes[i] = _cut(shapes[i], window)
        pairs = [(s, n) for s, n in zip(shapes, (near + 1).tolist(), strict=True) if not s.is_empty]
        shift = Affine.translation(column, row)
        return rasters.rasterise(pairs, height, width, shift, dtype="int32")

    def classes(self, numbers: np.ndarray) -> np.ndarray:
        """Return the class index of each number that `drawn` gives, uint8; of 0 it is 0."""
        return np.concatenate([np.zeros(1, np.uint8), self.values])[numbers]


def place_outlines(outlines: Outlines, grid: Grid, turn: Turn = UPRIGHT) -> Placed:
    """Place polygons on the grid of an image; those that do not meet it are left out.

    An image that does not say where it lies has pixels as coordinates, (0, 0) at its upper left
    corner. There y may also fall from 0 to minus the image's height, as QGIS shows such images, and
    as they are stored.

    Args:
      outlines: The polygons.
      grid: Grid of the image as seen.
      turn: Leads from the image as stored to the image as seen.

    Raises:
      ReadError: One of the two has a CRS and the other has none, or a polygon cannot be repaired.
    """
    if (outlines.crs is None) != (grid.crs is None) and len(outlines.shapes):
        found = [
            f"{what} has {'no CRS' if crs is None else f'the CRS {crs_name(crs)}'}"
            for what, crs in ((outlines.path, outlines.crs), ("the image", grid.crs))
        ]
        raise ReadError(
            f"does not fit: {' and '.join(found)}; give both one, or save the outlines of an image"
            " without CRS as a GeoPackage without CRS (GeoJSON always has one)"
        )
    searched = _searched(outlines, grid)
    shapes, indices = _near(outlines, searched)
    invalid = np.flatnonzero(~shapely.is_valid(shapes))
    for index in invalid:
        shapes[index] = _repaired(outlines, shapes[index], indices[index])
    if searched is not None and (grid.crs != outlines.crs or grid.points or grid.rpcs):
        shapes = _in_pieces(shapes, searched)
    pixels = _pixels(outlines, grid, turn, shapely.get_coordinates(shapes))
    if not np.isfinite(pixels).all():
        x, y = shapely.get_coordinates(shapes)[~np.isfinite(pixels).all(axis=1)][0]
        raise ReadError(f"{outlines.path} has a corner ({x:g}, {y:g}) that is nowhere in the image")
    shapes = shapely.set_coordinates(shapes, pixels)
    image = shapely.box(0, 0, grid.width, grid.height)
    meets = shapely.intersects(shapely.envelope(shapes), image)
    num_repaired = int((meets[invalid] & ~shapely.is_empty(shapes[invalid])).sum())
    shapes, indices = shapes[meets], indices[meets]
    values, tree = outlines.values[indices], shapely.STRtree(shapes)
    return Placed(shapes, values, indices, num_repaired, tree)


def nowhere(outlines: Outlines, grid: Grid) -> str:
    """Say that no polygon meets an image, and where the two lie."""
    return f"{outlines.path} covers {outlines.extent}, the image {bounds(grid, outlines.crs)}"


def _near(outlines: Outlines, searched: shapely.Geometry | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the polygons that meet a box, in the order of the file, and their places there."""
    if searched is None:
        return outlines.shapes.copy(), np.arange(len(outlines.shapes))
    # Longitudes of 181 and -179 degrees are the same.
    shifts = (-360, 0, 360) if outlines.crs is not None and outlines.crs.is_geographic else (0,)
    shapes, indices = [], []
    for shift in shifts:
        found = outlines.tree.query(_moved(searched, -shift))
        shapes.append(_moved(outlines.shapes[found], shift))
        indices.append(found)
    order = np.argsort(np.concatenate(indices), kind="stable")
    return np.concatenate(shapes)[order], np.concatenate(indices)[order]


def _moved(shapes: Any, by: float) -> Any:
    """Return shapes moved along x."""
    return shapely.transform(shapes, lambda points: points + np.array([by, 0.0])) if by else shapes


def _repaired(outlines: Outlines, shape: shapely.Geometry, index: int) -> shapely.Geometry:
    try:
        return polygons.repair(shape)
    except ReadError as error:
        raise ReadError(
            f"cannot take feature {outlines.features[index]} of {outlines.path}, which {error};"
            f" {MEND}"
        ) from None


def _in_pieces(shapes: np.ndarray, searched: shapely.Geometry) -> np.ndarray:
    """Cut polygons to a box, and their edges into pieces."""
    beyond = np.flatnonzero(~shapely.contains_properly(searched, shapes))
    for index, cut in zip(beyond, shapely.intersection(shapes[beyond], searched), strict=True):
        parts = [part for part in shapely.get_parts(cut) if part.area > 0]
        shapes[index] = shapely.MultiPolygon(parts)
    left, bottom, right, top = searched.bounds
    return shapely.segmentize(shapes, _PIECE * float(np.hypot(right - left, top - bottom)))


def _pixels(outlines: Outlines, grid: Grid, turn: Turn, points: np.ndarray) -> np.ndarray:
    """Return the (column, row) [N, 2] of points of the outlines."""
    if outlines.crs is not None and grid.crs is not None:
        points = reprojected(points, outlines.crs, grid.crs)
    if not grid.is_placed and _falls(outlines):
        to_seen = ~turn.to_stored(grid.height, grid.width)
        return np.stack(to_seen * (points * (1, -1)).T, axis=1)
    return grid.pixels(points)


def _falls(outlines: Outlines) -> bool:
    """Whether y falls from 0, as QGIS shows images that do not say where they lie."""
    if not len(outlines.shapes):
        return False
    _, bottom, _, top = shapely.total_bounds(outlines.shapes)
    return bool(-bottom > max(top, 0))  # People draw some pixels beyond an image's edge.


def _searched(outlines: Outlines, grid: Grid) -> shapely.Geometry | None:
    """Return a box around an image in coordinates of the outlines; None if it is not known."""
    if not grid.is_placed or outlines.crs is None or grid.crs is None:
        return None
    points = grid.coordinates(*lattice(grid.height, grid.width, _BORDER_POINTS))
    seen = reprojected(points, grid.crs, outlines.crs)
    if not np.isfinite(seen).all():
        return None
    low, high = seen.min(axis=0), seen.max(axis=0)
    room = _BESIDE * (high - low)
    return shapely.box(*(low - room), *(high + room))


def _cut(shape: shapely.Geometry, window: Window) -> shapely.Geometry:
    """Cut a polygon of many corners to a window, with room, so that drawing does not see all."""
    row, column, height, width = window
    box = column - _ROOM, row - _ROOM, column + width + _ROOM, row + height + _ROOM
    try:
        cut = shapely.clip_by_rect(shape, *box)
    except shapely.errors.GEOSException:  # It crosses itself after it was placed.
        return shape
    return shapely.MultiPolygon([part for part in shapely.get_parts(cut) if part.area > 0])
