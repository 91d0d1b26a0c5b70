"""From a finished class map to a file of polygons. Memory does not grow with the map."""

import collections
import contextlib
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely

from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import read_grid
from noise2map_jax.class_maps.class_map import ClassMap, open_class_map
from noise2map_jax.polygons.ground import Ground, valid_parts
from noise2map_jax.polygons.polygon_file import (
    Features,
    Layer,
    check_output,
    holds_wgs84,
    write_features,
)
from noise2map_jax.polygons.polygon_options import PolygonOptions
from noise2map_jax.polygons.regions import regions
from noise2map_jax.polygons.squaring import squared

# Pixels: the least that hides the steps of a slanting wall. For 1,200 drawn houses at all angles,
# 15 to 30 pixels long, the squared outlines were nearer to the truth than those of the pixels.
_SQUARING_TOLERANCE = 1.1


@dataclass
class PolygonSummary:
    """What was written.

    Attributes:
        count: number of polygons.
        areas: area by name of the class, of what was written; in `unit`.
        unit: "m2", or "px" where the map has no CRS of the Earth.
        too_small: number of polygons below the minimum area, left out.
        not_squared: number of polygons that were written but could not be squared.
    """

    count: int
    areas: dict[str, float]
    unit: str
    too_small: int
    not_squared: int

    def __str__(self) -> str:
        if not (self.count or self.too_small):  # Masks of 0 and 255 are no maps, and look alike.
            return "0 polygons: all pixels are background (0) or no data (255)"
        areas = ", ".join(f"{name} {area:,.1f} {self.unit}" for name, area in self.areas.items())
        parts = [f"{self.count:,} polygon{'' if self.count == 1 else 's'}"]
        parts[0] += f" ({areas})" if areas else ""
        if self.too_small:
            parts.append(f"{self.too_small:,} too small and left out")
        if self.not_squared:
            parts.append(f"{self.not_squared:,} not squared")
        return ", ".join(parts)


def write_polygons(
    class_map: str,
    output: str,
    *,
    classes: tuple[str, ...] = (),
    probability: str = "",
    options: PolygonOptions | None = None,
    strip_rows: int = 0,
) -> PolygonSummary:
    """Write the regions of a class map as polygons.

    A region is what edges of pixels connect, anywhere in the map; holes are kept. There are none of
    class 0, of 255 and of the map's no-data value. Columns: `class` (name), `class_index`,
    `area_m2` (`area_px` where the map has no CRS) and, where a probability is given,
    `mean_probability` over the region's pixels.

    Args:
        class_map: GeoTIFF of class indices.
        output: .gpkg and .parquet keep the map's CRS; .geojson holds WGS 84 (RFC 7946).
        classes: names of the classes, the background first; empty = those in the map's tags.
        probability: GeoTIFF of 1 - P(class 0) on the map's grid; "" = none.
        options: which polygons are written, and with what outlines.
        strip_rows: rows of the map held at once; 0 = about 2 million pixels. Does not change what
            is written.

    Returns:
        What was written.

    Raises:
        UserError: a file cannot be read or written, or does not fit the others.
    """
    sources = (class_map, probability) if probability else (class_map,)
    check_output(output, sources)
    with open_class_map(class_map, probability, classes) as source:
        ground = Ground(source.grid, wgs84=holds_wgs84(output))
        summary = PolygonSummary(0, collections.defaultdict(float), ground.unit, 0, 0)
        layer = Layer(ground.crs, f"area_{ground.unit}", bool(probability))
        features = _features(source, ground, options or PolygonOptions(), summary, strip_rows)
        write_features(output, layer, features)
    summary.areas = {name: summary.areas[name] for name in source.classes if name in summary.areas}
    return summary


def check_place(output: str, image: str) -> None:
    """Check that polygons can have coordinates in a file, before the map of an image is made.

    Raises:
        UserError: the file holds longitudes and latitudes, and the image has none.
    """
    with contextlib.suppress(ReadError):  # said when the image is opened to be mapped
        Ground(read_grid(pathlib.Path(image)), wgs84=holds_wgs84(output))


def _features(
    source: ClassMap,
    ground: Ground,
    options: PolygonOptions,
    summary: PolygonSummary,
    strip_rows: int,
) -> Iterator[Features]:
    names = np.array(source.classes, object)
    for found in regions(source.strips(strip_rows)):
        if not len(found):
            continue
        outlines, is_kept = _outlines(found.polygons, ground, options)
        outlines, owner = valid_parts(outlines)
        placed, part_of = ground.place(outlines)
        owner = owner[part_of]
        areas = ground.areas(placed)
        large = areas >= options.minimum_area
        placed, owner, areas = placed[large], owner[large], areas[large]
        indices = found.classes[owner]
        summary.too_small += int((~large).sum())
        summary.count += len(placed)
        summary.not_squared += int(is_kept[owner].sum())
        for index in np.unique(indices).tolist():
            summary.areas[names[index]] += float(areas[indices == index].sum())
        means = found.means[owner] if source.has_probability else None
        yield Features(placed, names[indices], indices, areas, means)


def _outlines(
    polygons: np.ndarray, ground: Ground, options: PolygonOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Simplify and square polygons [N] in pixels.

    Returns:
        [N] polygons, and whether [N] each was to be squared and could not be.
    """
    outlines, is_kept = polygons, np.zeros(len(polygons), bool)
    if options.simplify:
        outlines = shapely.simplify(polygons, options.simplify)
    if options.square_corners:
        tolerance = max(options.simplify, _SQUARING_TOLERANCE)
        centres = shapely.get_coordinates(shapely.centroid(polygons))
        results = [
            squared(polygon, axes, tolerance)
            for polygon, axes in zip(polygons, ground.axes(centres), strict=True)
        ]
        is_kept = np.array([result is None for result in results])
        outlines = np.where(is_kept, outlines, np.array(results, object))
    return outlines, is_kept
