"""Reads xBD label JSON: footprints in pixels with their damage, and counts of repairs.

The fields are those of the dataset's owner (Gupta et al. 2019, arXiv 1911.09296): `features.xy`
holds WKT polygons in pixels; in labels of post images `properties.subtype` is the damage.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from rasterio import Affine

from data_prep.basics.dataset import IGNORE
from data_prep.imagery.bands import ReadError
from data_prep.reading.polygons import repair
from data_prep.reading.rasters import rasterise

# properties.subtype -> level. The owner's score ignores buildings that nobody could classify.
LEVELS = {
    "no-damage": 1,
    "minor-damage": 2,
    "major-damage": 3,
    "destroyed": 4,
    "un-classified": IGNORE,
}
MAX_BYTES = 2**24  # Largest label file; thousands of footprints need far less.
MAX_COORDINATE = 2**20  # GDAL silently leaves out polygons that reach too far.


@dataclass(frozen=True)
class Label:
    """The footprints of one image.

    Attributes:
      footprints: (polygon in pixels, level); without damage, every building has level 1.
      num_repaired: Number of polygons that crossed themselves.
      num_without_area: Number of those among them that cover no area.
      num_outside: Number of polygons outside the image, which are left out.
    """

    footprints: tuple[tuple[shapely.Geometry, int], ...]
    num_repaired: int = 0
    num_without_area: int = 0
    num_outside: int = 0


def read(path: Path, height: int, width: int, *, with_damage: bool) -> Label:
    """Read a label.

    Args:
      path: The JSON file.
      height: Rows of its image.
      width: Columns of its image.
      with_damage: Whether every building must have a known subtype.

    Returns:
      The footprints.

    Raises:
      ReadError: The file is no xBD label, or it is the label of an image of another size.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError(f"has {path.stat().st_size} bytes; a label has at most {MAX_BYTES}")
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split()).replace(str(path), "file")
        raise ReadError(f"is no JSON ({text[:200]})") from error
    _check_size(_entry(content, "metadata", dict, {}), height, width)
    features = _entry(_entry(content, "features", dict), "xy", list)
    found = [_footprint(f"features.xy[{i}]", f, with_damage) for i, f in enumerate(features)]
    image = shapely.box(0, 0, width, height)
    inside = [one for one in found if one.polygon.is_empty or one.polygon.intersects(image)]
    if found and not inside:
        x, y = found[0].polygon.bounds[:2]
        raise ReadError(
            f"has all {len(found)} polygons outside the image of {width} x {height} pixels (one"
            f" begins at x {x:g}, y {y:g}); expected coordinates in pixels"
        )
    return Label(
        tuple((one.polygon, one.level) for one in inside if not one.polygon.is_empty),
        sum(one.is_repaired for one in found),
        sum(one.polygon.is_empty for one in found),
        len(found) - len(inside),
    )


def draw(
    footprints: Sequence[tuple[shapely.Geometry, int]], height: int, width: int, scale: float
) -> np.ndarray:
    """Rasterise footprints by pixel centres on a grid of any size; no mask is interpolated.

    Args:
      footprints: (polygon in pixels of the image, level).
      height: Rows of the grid.
      width: Columns of the grid.
      scale: Pixels of the image per pixel of the grid.

    Returns:
      [height, width] uint8 levels, 0 = no building. Where buildings overlap, the worse damage
      counts, and any level counts more than un-classified.
    """
    ordered = sorted(footprints, key=lambda one: one[1] % IGNORE)
    return rasterise(ordered, height, width, Affine.scale(scale))


@dataclass(frozen=True)
class _Footprint:
    polygon: shapely.Geometry
    level: int
    is_repaired: bool


def _entry(content: Any, name: str, kind: type, default: Any = None) -> Any:
    value = content.get(name, default) if isinstance(content, dict) else None
    if not isinstance(value, kind):
        raise ReadError(f"is no xBD label: {name} is missing or no {kind.__name__}")
    return value


def _check_size(metadata: Mapping[str, Any], height: int, width: int) -> None:
    for name, size in (("width", width), ("height", height)):
        stated = metadata.get(name)
        if isinstance(stated, int) and stated > 0 and stated != size:
            raise ReadError(f"is for an image of {name} {stated}, but its image has {size}")


def _footprint(where: str, feature: Any, with_damage: bool) -> _Footprint:
    text = _entry(feature, "wkt", str)
    properties = _entry(feature, "properties", dict, {})
    kind, subtype = properties.get("feature_type", "building"), properties.get("subtype")
    if kind != "building":
        raise ReadError(f"{where}: feature_type is {str(kind)[:40]!r}; expected building")
    if with_damage and (not isinstance(subtype, str) or subtype not in LEVELS):
        known = ", ".join(LEVELS)
        raise ReadError(f"{where}: subtype is {str(subtype)[:40]!r}, not one of {known}")
    polygon, is_repaired = _polygon(where, text)
    return _Footprint(polygon, LEVELS[subtype] if with_damage else 1, is_repaired)


def _polygon(where: str, text: str) -> tuple[shapely.Geometry, bool]:
    try:
        with np.errstate(over="ignore"):  # Numbers too large for a double are refused below.
            polygon = shapely.force_2d(shapely.from_wkt(text))
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise ReadError(f"{where}: {text[:40]!r} is no WKT ({str(error)[:80]})") from error
    if polygon.is_empty:  # Of whatever type; it is counted as one without area.
        return shapely.Polygon(), False
    if polygon.geom_type not in ("Polygon", "MultiPolygon"):
        raise ReadError(f"{where}: is a {polygon.geom_type}; expected a polygon")
    # Written so that NaN is refused as well.
    if not (np.abs(shapely.get_coordinates(polygon)) < MAX_COORDINATE).all():
        raise ReadError(f"{where}: has coordinates that are not numbers below {MAX_COORDINATE}")
    if polygon.is_valid:
        return polygon, False
    try:
        return repair(polygon), True
    except ReadError as error:
        raise ReadError(f"{where}: {error}") from error
