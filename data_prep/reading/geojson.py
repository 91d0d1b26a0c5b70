"""Reads the corners of the polygons of a GeoJSON file, in the coordinates of the file."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from data_prep.imagery.bands import ReadError

# Largest file in bytes. Once parsed, brackets may take twenty times their text in memory.
MAX_BYTES = 48 * 2**20
MAX_CORNERS = 20_000  # Most in a ring. Footprints have tens; checking far more takes minutes.
_URI = r"(?:urn:ogc:def:crs:|https?://www\.opengis\.net/def/crs/)?"
_EPSG = re.compile(_URI + r"EPSG[:/](?:[^:/]*[:/])?(\d{1,9})")
_CRS84 = re.compile(_URI + r"OGC[:/](?:[^:/]*[:/])?CRS84h?")
_WGS84 = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Vectors:
    """The polygons of a file, in the coordinates of the file.

    Attributes:
      points: [N, 2] float64, corners of all rings, one ring after the other.
      ring_ends: [R] where each ring ends in `points`.
      polygon_ends: [P] where the rings of each polygon end in `ring_ends`; its first ring is the
        outline, the others are holes.
      crs: CRS of the coordinates.
      num_empty: Number of features without a geometry and of polygons without an outline.
    """

    points: np.ndarray
    ring_ends: np.ndarray
    polygon_ends: np.ndarray
    crs: CRS
    num_empty: int


def read_geojson(path: Path) -> Vectors:
    """Read the polygons of a GeoJSON file.

    Args:
      path: A FeatureCollection of Polygons and MultiPolygons; it may be empty. Its `crs` member
        gives the CRS, else it is WGS84. x comes first, whatever the order of axes of the CRS.

    Returns:
      The polygons without heights.

    Raises:
      ReadError: The file is damaged or holds something else.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ReadError(f"has {size} bytes, more than {MAX_BYTES}")
        collection = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ReadError(f"is no JSON ({text[:200]})") from error
    if not isinstance(collection, dict) or collection.get("type") != "FeatureCollection":
        raise ReadError("is no GeoJSON FeatureCollection")
    features = collection.get("features")
    if not isinstance(features, list):
        raise ReadError("is a FeatureCollection without a list of features")
    crs = _crs(collection.get("crs"))
    rings: list[np.ndarray] = []
    polygon_ends: list[int] = []
    num_empty = 0
    for index, feature in enumerate(features):
        found = False
        for polygon in _polygons(feature, f"feature {index}"):
            corners = [_ring(ring, f"feature {index}") for ring in polygon]
            if not corners or len(corners[0]) < 3:
                continue
            found = True
            rings += [corners[0], *(hole for hole in corners[1:] if len(hole) >= 3)]
            polygon_ends.append(len(rings))
        num_empty += not found
    ends = np.cumsum([len(ring) for ring in rings], dtype=np.int64)
    points = np.concatenate(rings) if rings else np.zeros((0, 2))
    return Vectors(points, ends, np.array(polygon_ends, np.int64), crs, num_empty)


def _crs(member: Any) -> CRS:
    if member is None:
        return _WGS84
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise ReadError("has a crs member without a name")
    # PROJ never gets the raw name: it would open files and addresses of that name.
    if _CRS84.fullmatch(name):
        return _WGS84
    match = _EPSG.fullmatch(name)
    try:
        if match:
            return CRS.from_epsg(int(match[1]))
    except (CRSError, ValueError, OverflowError):
        pass
    raise ReadError(f"has the unknown CRS {name[:100]!r}")


def _polygons(feature: Any, what: str) -> Iterator[list[Any]]:
    """Yield the list of rings of each polygon of a feature."""
    if not isinstance(feature, dict) or "geometry" not in feature:
        raise ReadError(f"{what} is no GeoJSON feature")
    geometry = feature["geometry"]
    if geometry is None:
        return
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if isinstance(kind, str) and not (geometry.get("coordinates") or geometry.get("geometries")):
        return  # Nothing, of whatever type: writers leave it where a footprint was clipped away.
    if kind not in ("Polygon", "MultiPolygon"):
        raise ReadError(f"{what} is a {str(kind)[:40]}; expected Polygon or MultiPolygon")
    polygons = geometry.get("coordinates")
    if kind == "Polygon":
        polygons = [polygons]
    if not isinstance(polygons, list):
        raise ReadError(f"{what} is a MultiPolygon without a list of polygons")
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise ReadError(f"{what} has a polygon without a list of rings")
        yield polygon


def _ring(ring: Any, what: str) -> np.ndarray:
    """Turn a list of points into [N, 2] float64."""
    if not isinstance(ring, list) or not all(isinstance(p, list) and len(p) >= 2 for p in ring):
        raise ReadError(f"{what} has a ring that is no list of points")
    if len(ring) > MAX_CORNERS:
        raise ReadError(f"{what} has a ring of {len(ring)} points, more than {MAX_CORNERS}")
    numbers = [value for point in ring for value in point[:2]]
    if any(type(value) not in (int, float) for value in numbers):
        raise ReadError(f"{what} has a coordinate that is no number")
    try:
        points = np.array(numbers, np.float64).reshape(-1, 2)
    except OverflowError as error:
        raise ReadError(f"{what} has a coordinate too large for a float") from error
    if not np.isfinite(points).all():
        raise ReadError(f"{what} has a coordinate that is not finite")
    # The last point repeats the first one.
    return points[:-1] if len(points) > 1 and (points[0] == points[-1]).all() else points
