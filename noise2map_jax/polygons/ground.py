"""From pixels to the ground: coordinates, areas, and what is square there."""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from data_prep.imagery.grid import Grid
from noise2map_jax.errors import UserError

if TYPE_CHECKING:
    import pyproj

_RADIUS = 6.371e6  # metres
# A straight line of length s in one projection is a curve in another, s^2 / (8 R) away from it
# (times the tangent of the latitude), with s^3 / (12 R) between the two. Long edges get points
# between their ends, so that no edge is a tenth of a pixel off its place in another CRS,
_FAR = 0.1 * 8 * _RADIUS
# and that no edge of a region one pixel wide is wrong by more than 1e-5 of its area.
_WRONG = 1e-5 * 12 * _RADIUS
_LONGEST = 256.0  # pixels, where control points or polynomials may bend lines in any way
_POLE = 90 + 1e-9  # degrees; programs round
_DECIMALS = 9  # of degrees, a tenth of a millimetre: no pixel is so small that its corners meet


class Ground:
    """The ground under a grid of pixels, in the CRS that polygons are written in.

    Attributes:
        crs: CRS of the coordinates (pyproj), None if the grid has none.
        unit: "m2" if areas are known in square metres, or "px" for pixels.
    """

    def __init__(self, grid: Grid, *, wgs84: bool = False):
        """Take a grid; with `wgs84` its polygons are written in longitude and latitude.

        Raises:
            UserError: longitude and latitude are wanted but the grid is in no CRS of the Earth.
        """
        import pyproj  # of the extra gis

        self._grid = grid
        # Grids and PROJ's text form are of rasterio; pyproj reads the text.
        self.crs = own = pyproj.CRS.from_wkt(grid.crs.to_wkt()) if grid.crs else None
        geodetic = own.geodetic_crs if own else None
        self.unit = "m2" if geodetic else "px"
        self._to_written = self._to_degrees = None
        self._wgs84 = wgs84
        if wgs84:
            if geodetic is None:
                raise UserError(
                    "the map has no CRS, and GeoJSON holds longitudes and latitudes (RFC 7946):"
                    " write .gpkg or .parquet, which hold coordinates as they are"
                )
            self.crs = geodetic = pyproj.CRS.from_epsg(4326)
            self._to_written = _transformer(own, geodetic)
        elif geodetic is not None:
            self._to_degrees = _transformer(own, geodetic)
        self._geod = geodetic.get_geod() if geodetic else None
        self._bends = bool(grid.points or grid.rpcs or (wgs84 and own != self.crs))

    def place(self, polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bring polygons from pixels to coordinates, x or longitude first.

        Args:
            polygons: [N], in pixels.

        Returns:
            [M] valid polygons and the index [M] of the one that each is, or is a part of: M is
            above N where rounding split a polygon at a point where it touched itself.

        Raises:
            UserError: a corner lies where the CRS does not reach, or longitudes and latitudes
                cannot hold a polygon.
        """
        if self._bends:
            polygons = shapely.segmentize(polygons, min(_LONGEST, (_FAR / self._pixel) ** 0.5))
        points, owner = shapely.get_coordinates(polygons, return_index=True)
        points = self._written(points)
        reached = np.isfinite(points).all(axis=1)
        if self.crs and self.crs.is_geographic:
            reached &= np.abs(points[:, 1]) <= _POLE
        if not reached.all():
            column, row = shapely.get_coordinates(polygons)[~reached][0]
            raise UserError(
                f"the corner at column {column:.0f}, row {row:.0f} has no place in the CRS;"
                " polygons cannot be written for this map"
            )
        if self._wgs84:
            # Longitudes of one polygon go on beyond 180 degrees, and do not jump to -180.
            first = points[np.searchsorted(owner, owner), 0]
            beside = points[:, 0] + 360 * np.round((first - points[:, 0]) / 360)
            # A change of the CRS makes them jump; in the map's own degrees none should.
            for longitudes in (beside,) if self._to_written else (beside, points[:, 0]):
                jumps = (np.abs(np.diff(longitudes)) > 180) & (np.diff(owner) == 0)
                if jumps.any():
                    column, row = shapely.get_coordinates(polygons)[:-1][jumps][0]
                    raise UserError(
                        f"the polygon at column {column:.0f}, row {row:.0f} goes around a pole or"
                        " around the Earth, which GeoJSON cannot hold: write .gpkg or .parquet"
                    )
            points = np.column_stack([beside, points[:, 1]]).round(_DECIMALS)
        return valid_parts(shapely.set_coordinates(polygons.copy(), points))

    def areas(self, placed: np.ndarray) -> np.ndarray:
        """Return the areas [N] of polygons as `place` returns them, in the unit.

        Square metres are those of geodesic polygons on the ellipsoid, whatever the CRS.
        """
        if self._geod is None:
            return shapely.area(placed) / self._cell
        longest = max((_WRONG / self._pixel) ** 0.5, 1) * self._cell**0.5
        dense = shapely.segmentize(placed, longest)
        rings, owner = shapely.get_rings(dense, return_index=True)
        points, ring_of = shapely.get_coordinates(rings, return_index=True)
        degrees = _transformed(self._to_degrees, points)
        ends = np.flatnonzero(np.diff(ring_of)) + 1
        of_rings = [
            abs(self._geod.polygon_area_perimeter(*ring.T)[0]) for ring in np.split(degrees, ends)
        ]
        # The first ring of a polygon is its shell, the others are holes.
        sign = np.where(np.diff(owner, prepend=-1) > 0, 1, -1)
        return np.bincount(owner, weights=sign * of_rings, minlength=len(placed))

    def axes(self, points: np.ndarray) -> np.ndarray:
        """Return what a step of one pixel is on the ground.

        Args:
            points: [N, 2], in pixels.

        Returns:
            [N, 2, 2]: (east, north) of a step along the columns and of one along the rows, as
            columns of the matrix; in metres, or in units of the coordinates where there is no CRS.
        """
        here = self._written(points)
        steps = [self._written(points + step) for step in ([1.0, 0.0], [0.0, 1.0])]
        if self._geod is None:
            return np.stack([step - here for step in steps], axis=2)
        here, *steps = (_transformed(self._to_degrees, each) for each in (here, *steps))
        vectors = []
        for step in steps:
            azimuth, _, metres = self._geod.inv(*here.T, *step.T)
            turn = np.radians(azimuth)
            vectors.append(np.stack([metres * np.sin(turn), metres * np.cos(turn)], axis=1))
        return np.stack(vectors, axis=2)

    @functools.cached_property
    def _middle(self) -> np.ndarray:
        return np.array([self._grid.width / 2, self._grid.height / 2])

    @functools.cached_property
    def _pixel(self) -> float:
        """Side of a pixel in the middle of the grid, in metres."""
        return float(np.sqrt(abs(np.linalg.det(self.axes(self._middle[None])[0]))))

    @functools.cached_property
    def _cell(self) -> float:
        """Area of a pixel in the middle of the grid, in square units of the coordinates."""
        here, right, down = self._written(np.add(self._middle, [[0, 0], [1, 0], [0, 1]]))
        return float(abs(np.linalg.det([right - here, down - here])))

    def _written(self, points: np.ndarray) -> np.ndarray:
        return _transformed(self._to_written, self._grid.coordinates(*points.T))


def valid_parts(polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make polygons valid.

    Returns:
        [M] valid polygons that are not empty, and the index [M] of the polygon that each is, or is
        a part of.
    """
    invalid = ~shapely.is_valid(polygons)
    if invalid.any():
        polygons = polygons.copy()
        polygons[invalid] = shapely.make_valid(
            polygons[invalid], method="structure", keep_collapsed=False
        )
    parts, owner = shapely.get_parts(polygons, return_index=True)
    filled = shapely.area(parts) > 0
    return parts[filled], owner[filled]


def _transformer(crs: "pyproj.CRS | None", to: "pyproj.CRS") -> Any:
    import pyproj

    return None if crs == to else pyproj.Transformer.from_crs(crs, to, always_xy=True)


def _transformed(transformer: Any, points: np.ndarray) -> np.ndarray:
    return points if transformer is None else np.stack(transformer.transform(*points.T), axis=1)
