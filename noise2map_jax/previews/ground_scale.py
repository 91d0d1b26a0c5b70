"""How long a pixel is on the ground, and where north is, in the middle of a scene."""

import numpy as np
from rasterio.crs import CRS

from data_prep.imagery.grid import Grid, reprojected

_WGS84 = CRS.from_epsg(4326)
_RADIUS, _ECCENTRICITY2 = 6378137.0, 0.00669437999  # of its ellipsoid; the radius in metres
_STEP = 1e-4  # degrees, 11 m: far more than the rounding of coordinates


def metres_a_pixel(grid: Grid) -> float | None:
    """Return the length on the ground of a step along a row; None where it is not known.

    It is measured on the ellipsoid: the metres of a projection such as Web Mercator are not those
    of the ground. In a CRS that is not tied to the Earth, its own unit counts.
    """
    if grid.crs is None:
        return None
    middle, half = grid.height / 2, max(grid.width / 20, 0.5)
    columns = np.array([grid.width / 2 - half, grid.width / 2 + half])
    points = grid.coordinates(columns, np.full(2, middle))
    degrees = reprojected(points.copy(), grid.crs, _WGS84)
    if np.isfinite(degrees).all():
        return _ground_length(*degrees) / (2 * half)
    if grid.crs.is_geographic:  # of another celestial body
        return None
    _, metres = grid.crs.units_factor
    return float(np.hypot(*(points[1] - points[0]))) * metres / (2 * half)


def north(grid: Grid) -> tuple[float, float] | None:
    """Return the direction of north in the picture; None where it is not known.

    Returns:
        (right, down) of length 1: geographic north; in a CRS that is not tied to the Earth, the
        direction of its second axis.
    """
    if grid.crs is None:
        return None
    middle = np.array([[grid.width / 2, grid.height / 2]])
    point = grid.coordinates(*middle.T)
    degrees = reprojected(point.copy(), grid.crs, _WGS84)
    if np.isfinite(degrees).all():
        step = -_STEP if degrees[0, 1] > 89 else _STEP  # northwards from a pole leads nowhere
        beside = reprojected(degrees + np.array([0, step]), _WGS84, grid.crs)
        sign = np.sign(step)
    else:
        beside, sign = point + np.array([0, _height_of_pixel(grid)]), 1.0
    direction = sign * (grid.pixels(beside) - middle)[0]
    length = float(np.hypot(*direction))
    if not np.isfinite(length) or length == 0:
        return None
    return float(direction[0]) / length, float(direction[1]) / length


def _height_of_pixel(grid: Grid) -> float:
    return float(np.hypot(grid.transform.b, grid.transform.e))


def _ground_length(first: np.ndarray, second: np.ndarray) -> float:
    """Return metres between two near points (longitude, latitude), in degrees."""
    east, up = np.radians(second - first)
    east = (east + np.pi) % (2 * np.pi) - np.pi  # 179 and -179 degrees are near each other
    latitude = np.radians((first[1] + second[1]) / 2)
    flat = 1 - _ECCENTRICITY2 * np.sin(latitude) ** 2
    across = _RADIUS / np.sqrt(flat) * np.cos(latitude)
    along = _RADIUS * (1 - _ECCENTRICITY2) / flat**1.5
    return float(np.hypot(across * east, along * up))
