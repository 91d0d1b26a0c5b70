"""Where the pixels of an image lie on Earth, and how two images lie to each other.

A georeference is an affine transform (GeoTIFF, world file), ground control points or rational
polynomial coefficients. Grids are compared in pixels over their whole extent, because coordinates
may be metres or degrees, and because a small error of the pixel size grows from edge to edge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer, from_gcps
from rasterio.warp import transform as reproject

from data_prep.imagery.bands import ReadError
from data_prep.imagery.turn import ALL, UPRIGHT, Turn

# Pixels that two grids may be apart and count as one. Programs round coordinates: over a large
# image that adds up to some hundredths, and a tenth of a pixel cannot be seen.
ALIGNED = 0.1
# No coordinate or pixel is as large, in whatever unit; beyond it numbers overflow. Also not NaN.
_FARTHEST = 1e12
_WGS84 = CRS.from_epsg(4326)
_POINTS_A_SIDE = 5  # Points at which grids are compared; a straight line may be a curve elsewhere.

# Row, column, x, y, z of a control point; z is 0 where the file gives none.
Point = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """Where the pixels of an image lie.

    Attributes:
      height: Rows.
      width: Columns.
      transform: (column, row) -> coordinates; with control points or RPCs, the affine transform
        nearest to them; the identity if there is no georeference.
      crs: CRS of the coordinates; None if the file does not say.
      nodata: Value of pixels without data; None if the file declares none.
      points: Ground control points, if the file has these instead of a transform.
      rpcs: Rational polynomial coefficients as GDAL's pairs of key and value, likewise.
    """

    height: int
    width: int
    transform: Affine
    crs: CRS | None
    nodata: float | None = None
    points: tuple[Point, ...] = ()
    rpcs: tuple[tuple[str, str], ...] = ()

    @property
    def is_placed(self) -> bool:
        """Whether the file says where its pixels lie, in whatever coordinates."""
        return not self.transform.is_identity

    @property
    def place(self) -> tuple[Any, ...]:
        """What says where a pixel lies: the same whatever the size and the value of no data."""
        return self.crs, self.points, self.rpcs, not (self.points or self.rpcs) and self.transform

    def coordinates(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the coordinates [N, 2] of pixel positions; (0, 0) is the first pixel's corner."""
        columns, rows = np.asarray(columns, float), np.asarray(rows, float)
        if not (self.points or self.rpcs):
            return np.stack(self.transform * (columns, rows), axis=1)
        with _transformer(self) as transformer:
            x, y = transformer.xy(rows, columns, offset="ul")
        return np.stack([np.asarray(x, float), np.asarray(y, float)], axis=1)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return the (column, row) [N, 2] of coordinates [N, 2]."""
        if not (self.points or self.rpcs):
            return np.stack(~self.transform * points.T, axis=1)
        with _transformer(self) as transformer:
            rows, columns = transformer.rowcol(*points.T, op=lambda value: value)
        return np.stack([np.asarray(columns, float), np.asarray(rows, float)], axis=1)

    def turned(self, turn: Turn) -> Grid:
        """Return the grid of the image after a turn."""
        if not turn:
            return self
        height, width = turn.size(self.height, self.width)
        to_stored = turn.to_stored(height, width)
        points = tuple((*(~to_stored * p[1::-1])[::-1], *p[2:]) for p in self.points)
        if self.rpcs:
            raise ReadError(f"has rational polynomials, which cannot be {turn.in_words()}")
        transform = _composed(self.transform, to_stored) if self.is_placed else self.transform
        return dataclasses.replace(
            self, height=height, width=width, transform=transform, points=points
        )


def grid_of(source: Any) -> Grid:
    """Return the grid of an open rasterio dataset.

    Raises:
      ReadError: The georeference is degenerate.
    """
    crs, transform = source.crs, source.transform
    points: tuple[Point, ...] = ()
    rpcs: tuple[tuple[str, str], ...] = ()
    if transform.is_identity:
        found, points_crs = source.gcps
        if found:
            points = tuple(_numbers(point) for point in found)
            crs, transform = points_crs or crs, from_gcps(found)
        elif source.rpcs is not None:
            rpcs, crs = tuple(sorted(source.rpcs.to_gdal().items())), _WGS84
            transform = _nearest_affine(source.rpcs, source.height, source.width)
    numbers = np.array(transform[:6])
    if not (np.abs(numbers) < _FARTHEST).all() or transform.is_degenerate:
        raise ReadError(f"has the degenerate georeference {tuple(transform[:6])}")
    return Grid(source.height, source.width, transform, crs, source.nodata, points, rpcs)


def control_points(grid: Grid) -> list[GroundControlPoint]:
    """Return the ground control points of a grid, for rasterio."""
    return [GroundControlPoint(*point) for point in grid.points]


def rational_polynomials(grid: Grid) -> RPC:
    """Return the rational polynomial coefficients of a grid, for rasterio."""
    return RPC.from_gdal(dict(grid.rpcs))


def reprojected(points: np.ndarray, crs: CRS, to: CRS) -> np.ndarray:
    """Reproject points, x before y.

    Args:
      points: [N, 2].
      crs: CRS of the points.
      to: CRS of the result.

    Returns:
      [N, 2]; NaN for a point that does not exist in one of the two.
    """
    x, y = points.T
    if crs != to and len(x):
        good = np.ones(len(x), bool)
        if crs.is_geographic:  # For one bad corner PROJ refuses all of them.
            good = (abs(x) <= 360) & (abs(y) <= 90)
        x, y = np.where(good, x, np.nan), np.where(good, y, np.nan)
        try:
            x[good], y[good] = reproject(crs, to, x[good], y[good])
        except Exception:  # Errors of PROJ and GDAL share no public class.
            x[:], y[:] = np.nan, np.nan
    return np.stack([x, y], axis=1)


def same_grid(first: Grid, second: Grid) -> bool:
    """Return whether pixels of one index show the same ground. Sizes may differ.

    Images that do not both say where they lie, or one of them without a CRS, are compared by what
    they say.
    """
    return apart(first, second) < ALIGNED


def apart(first: Grid, second: Grid) -> float:
    """Return how far pixels of one index are apart at most, in pixels of the first.

    Both grids are compared over the rows and columns that they share. 0 if one of them does not say
    where it lies; infinite if a point of one does not exist in the CRS of the other.
    """
    if not (first.is_placed and second.is_placed) or first.place == second.place:
        return 0.0  # Control points and polynomials are not inverted exactly.
    columns, rows = lattice(
        min(first.height, second.height), min(first.width, second.width), _POINTS_A_SIDE
    )
    seen = positions(second, columns, rows, first)
    distance = np.hypot(seen[:, 0] - columns, seen[:, 1] - rows)
    return float(distance.max()) if np.isfinite(distance).all() else np.inf


def turn_onto(grid: Grid, target: Grid) -> Turn | None:
    """Return the turn that brings an image onto the grid of another one exactly, or None."""
    if (grid.height, grid.width) == (target.height, target.width) and same_grid(target, grid):
        return UPRIGHT
    if grid.rpcs or not (grid.is_placed and target.is_placed):
        return None
    for turn in ALL:
        turned = grid.turned(turn)
        same_size = (turned.height, turned.width) == (target.height, target.width)
        if same_size and same_grid(target, turned):
            return turn
    return None


def difference(first: Grid, second: Grid) -> str:
    """Say how the second grid differs from the first, in the terms that matter."""
    parts = []
    if first.crs and second.crs and first.crs != second.crs:
        parts.append(f"CRS {crs_name(second.crs)} instead of {crs_name(first.crs)}")
    if (first.height, first.width) != (second.height, second.width):
        parts.append(
            f"{second.width} x {second.height} pixels instead of {first.width} x {first.height}"
        )
    corner = np.array([0.0, second.width, 0.0]), np.array([0.0, 0.0, second.height])
    origin, right, down = positions(second, *corner, first)
    if not np.isfinite([origin, right, down]).all():
        return ", ".join([*parts, "and no place in common"])
    across, along = (right - origin) / second.width, (down - origin) / second.height
    longest = max(second.height, second.width)
    sizes = np.hypot(*across), np.hypot(*along)
    if max(abs(size - 1) for size in sizes) * longest > ALIGNED:
        parts.append("pixels of {:.6g} x {:.6g} pixels".format(*sizes))
    parts += _turns(across / sizes[0], along / sizes[1], ALIGNED / longest)
    if np.hypot(*origin) > ALIGNED:
        parts.append(f"first pixel {origin[0]:+.2f} columns and {origin[1]:+.2f} rows away")
    if not overlap(first, second):
        parts.append("no common ground")
    return ", ".join(parts) or "no difference"


def _turns(across: np.ndarray, along: np.ndarray, least: float) -> list[str]:
    """Say how two unit vectors, along a row and down a column, are turned: angles in radians."""
    mirrored = across[0] * along[1] < across[1] * along[0]
    angle = abs(np.arctan2(across[1], across[0]))
    sheared = abs(across @ along) > least
    words = [f"turned by {np.degrees(angle):.3g} degrees"] if angle > least else []
    return words + ["mirrored"] * bool(mirrored) + ["sheared"] * bool(sheared)


def overlap(first: Grid, second: Grid) -> bool:
    """Return whether the second image meets the first; true if one does not say where it lies."""
    if not (first.is_placed and second.is_placed):
        return True
    columns, rows = lattice(second.height, second.width, _POINTS_A_SIDE)
    seen = positions(second, columns, rows, first)
    seen = seen[np.isfinite(seen).all(axis=1)]
    if not len(seen):
        return False
    low, high = seen.min(axis=0), seen.max(axis=0)
    return bool((high > 0).all() and (low < (first.width, first.height)).all())


def positions(grid: Grid, columns: np.ndarray, rows: np.ndarray, other: Grid) -> np.ndarray:
    """Return (column, row) in another grid of pixel positions of a grid, [N, 2].

    NaN or infinite for a position that does not exist there.
    """
    points = grid.coordinates(columns, rows)
    if grid.crs and other.crs:
        points = reprojected(points, grid.crs, other.crs)
    if other.crs and other.crs.is_geographic:  # Longitudes of 181 and -179 degrees are the same.
        middle = (other.transform * (other.width / 2, other.height / 2))[0]
        found = points[np.isfinite(points[:, 0]), 0]
        points[:, 0] += 360 * np.round((middle - found.mean()) / 360) if len(found) else 0
    return other.pixels(points)


def _composed(second: Affine, first: Affine) -> Affine:
    """Return the transform that applies the first, then the second.

    Written out because affine 2 has only * for it, and affine 3 warns of that.
    """
    product = np.reshape(second, (3, 3)) @ np.reshape(first, (3, 3))
    return Affine(*product[:2].ravel().tolist())


def _transformer(grid: Grid) -> Any:
    """Return rasterio's transformer of a grid, to be opened by `with`."""
    if grid.points:
        return GCPTransformer(control_points(grid))
    return RPCTransformer(rational_polynomials(grid)) if grid.rpcs else None


def lattice(height: int, width: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows [points^2] of positions spread over an image, its edges included."""
    columns, rows = np.meshgrid(np.linspace(0, width, points), np.linspace(0, height, points))
    return columns.ravel(), rows.ravel()


def _nearest_affine(rpcs: RPC, height: int, width: int) -> Affine:
    columns, rows = lattice(height, width, _POINTS_A_SIDE)
    with RPCTransformer(rpcs) as transformer:
        x, y = transformer.xy(rows, columns, offset="ul")
    points = zip(rows, columns, x, y, strict=True)
    return from_gcps([GroundControlPoint(*point) for point in points])


def _numbers(point: GroundControlPoint) -> Point:
    return (float(point.row), float(point.col), float(point.x), float(point.y), float(point.z or 0))


def crs_name(crs: CRS) -> str:
    """Return a short name of a CRS."""
    authority: Callable[[], tuple[str, str] | None] = crs.to_authority
    named = authority()
    return ":".join(named) if named else (crs.to_string()[:60] or "without a name")
