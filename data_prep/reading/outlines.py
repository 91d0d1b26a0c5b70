"""Reads polygons that people drew in a GIS, and places them on the grid of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from data_prep.basics.errors import UserError
from data_prep.imagery.bands import ReadError
from data_prep.imagery.common_ground import bounds
from data_prep.imagery.grid import Grid, crs_name, lattice, reprojected
from data_prep.imagery.turn import Window
from data_prep.reading import polygons, rasters

_BORDER_POINTS = 21  # Points a side by which the ground of an image is found in another CRS.
_BESIDE = 0.1  # Share of an image's extent that is searched beyond it, for its edges may be curves.


@dataclass(frozen=True)
class Outlines:
    """Polygons of a file.

    Attributes:
      path: The file.
      shapes: [P] polygons and multipolygons in coordinates of the file.
      values: [P] uint8, the class index of each.
      crs: CRS of the coordinates; None if the file names none.
      tree: Finds the shapes that meet a box.
    """

    path: Path
    shapes: np.ndarray
    values: np.ndarray
    crs: CRS | None
    tree: shapely.STRtree

    @property
    def extent(self) -> str:
        """Where the polygons lie, in words."""
        left, bottom, right, top = shapely.total_bounds(self.shapes)
        where = f" of {crs_name(self.crs)}" if self.crs else ""
        return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}{where}"


@dataclass(frozen=True)
class Placed:
    """Polygons in pixels of an image: x = column, y = row, (0, 0) is the first pixel's corner.

    Attributes:
      shapes: [M] valid polygons and multipolygons, in the order of the file.
      values: [M] uint8, the class index of each.
      indices: [M] the place of each in the file.
      num_repaired: How many were invalid and were repaired.
    """

    shapes: np.ndarray
    values: np.ndarray
    indices: np.ndarray
    num_repaired: int

    def drawn(self, window: Window) -> np.ndarray:
        """Draw a window of the image: [H, W] uint8, 0 where no pixel centre lies in a polygon.

        Where polygons overlap, the last one counts.
        """
        row, column, height, width = window
        box = shapely.box(column, row, column + width, row + height)
        near = shapely.intersects(shapely.envelope(self.shapes), box)
        pairs = list(zip(self.shapes[near], self.values[near].tolist(), strict=True))
        return rasters.rasterise(pairs, height, width, rasterio.Affine.translation(column, row))


def read_outlines(
    path: Path,
    *,
    layer: str = "",
    classes: Sequence[str] = (),
    field: str = "",
    may_be_empty: bool = False,
) -> Outlines:
    """Read the polygons of a GeoPackage, GeoJSON, Shapefile or another file that GDAL knows.

    Args:
      path: The file.
      layer: Its layer; empty: the only one.
      classes: Names of the classes, background first.
      field: Column that holds the name or the index of each polygon's class; empty: all polygons
        are of class 1.
      may_be_empty: Whether the file may hold no polygon.

    Raises:
      UserError: pyogrio is missing, the file cannot be read, or it has several layers, no polygon,
        geometries that are no polygons, no such column, or a class that is not among the names.
    """
    meta, found, columns = _read(path, layer, field)
    shapes = shapely.from_wkb(found)
    kept = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    shapes = shapely.force_2d(shapes[kept])
    kinds = {shapely.GeometryType(kind).name for kind in shapely.get_type_id(shapes)}
    if others := sorted(kinds - {"POLYGON", "MULTIPOLYGON"}):
        raise UserError(f"{path} holds {', '.join(others)}; expected polygons alone")
    if not len(shapes) and not may_be_empty:
        raise UserError(f"{path} holds no polygon")
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise UserError(f"{path} holds a corner that is not finite")
    values = np.ones(len(shapes), np.uint8)
    if field and len(shapes):
        values = _class_indices(path, field, columns[0][kept], classes)
    return Outlines(path, shapes, values, _crs(path, meta["crs"]), shapely.STRtree(shapes))


def place_outlines(outlines: Outlines, grid: Grid) -> Placed:
    """Place polygons on the grid of an image; those that do not meet it are left out.

    An image that does not say where it lies has pixels as coordinates, (0, 0) at its upper left
    corner. There y may also fall from 0 to minus the image's height, as QGIS shows such images.

    Raises:
      ReadError: One of the two has a CRS and the other has none, or a polygon cannot be repaired.
    """
    if not len(outlines.shapes):
        return Placed(outlines.shapes, outlines.values, np.zeros(0, int), 0)
    if (outlines.crs is None) != (grid.crs is None):
        found = [
            f"{what} has {'no CRS' if crs is None else f'the CRS {crs_name(crs)}'}"
            for what, crs in ((outlines.path, outlines.crs), ("the image", grid.crs))
        ]
        raise ReadError(
            f"does not fit: {' and '.join(found)}; give both one, or save the outlines of an image"
            " without CRS as a GeoPackage without CRS (GeoJSON always has one)"
        )
    indices = np.sort(outlines.tree.query(_searched(outlines, grid)))
    shapes = outlines.shapes[indices]
    points = shapely.get_coordinates(shapes)
    if outlines.crs is not None and grid.crs is not None:
        points = reprojected(points, outlines.crs, grid.crs)
    if not grid.is_placed and _falls(outlines):
        points = points * (1, -1)
    pixels = grid.pixels(points)
    if not np.isfinite(pixels).all():
        x, y = shapely.get_coordinates(shapes)[~np.isfinite(pixels).all(axis=1)][0]
        raise ReadError(f"{outlines.path} has a corner ({x:g}, {y:g}) that is nowhere in the image")
    shapes = shapely.set_coordinates(shapes.copy(), pixels)
    meets = shapely.intersects(shapely.envelope(shapes), shapely.box(0, 0, grid.width, grid.height))
    shapes, indices = shapes[meets], indices[meets]
    invalid = np.flatnonzero(~shapely.is_valid(shapes))
    for index in invalid:
        shapes[index] = polygons.repair(shapes[index])
    return Placed(shapes, outlines.values[indices], indices, len(invalid))


def nowhere(outlines: Outlines, grid: Grid) -> str:
    """Say that no polygon meets an image, and where the two lie."""
    return f"{outlines.path} covers {outlines.extent}, the image {bounds(grid, outlines.crs)}"


def _read(path: Path, layer: str, field: str) -> tuple[dict[str, Any], np.ndarray, list[Any]]:
    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        import pyogrio
        import pyogrio.errors
    except ImportError:
        raise UserError(
            f"{path} needs pyogrio, which is not installed: pip install 'noise2map_jax[gis]'"
        ) from None
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if layer not in ("", *layers):
            raise UserError(f"{path} has no layer {layer!r}; it has {', '.join(layers)}")
        if not layer and len(layers) != 1:
            raise UserError(f"{path} has the layers {', '.join(layers)}; choose one by --layer")
        name = layer or layers[0]
        about = pyogrio.read_info(path, layer=name)
        columns = [str(column) for column in about["fields"]]
        if field not in ("", *columns) and about["features"]:
            held = ", ".join(columns) or "none"
            raise UserError(f"{path} has no column {field!r}; it has {held}")
        meta, _, found, values = pyogrio.raw.read(
            path, layer=name, columns=[field] if field else [], force_2d=True
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read ({text}); save it as a GeoPackage") from None
    if found is None:
        raise UserError(f"{path} holds a table without geometries")
    return meta, found, values


def _class_indices(
    path: Path, field: str, column: np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Return the class index of each polygon from its name or index in a column."""
    known = {name: index for index, name in enumerate(classes)}
    known |= {str(index): index for index in range(len(classes))}
    texts = [_text(value) for value in column.tolist()]
    if unknown := sorted({text for text in texts if text not in known}):
        raise UserError(
            f"{path}: the column {field!r} holds {', '.join(map(repr, unknown[:5]))}; expected"
            f" {', '.join(classes)}, or 0 to {len(classes) - 1} (--classes names others)"
        )
    return np.array([known[text] for text in texts], np.uint8)


def _text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()  # Columns with gaps come as floats.
    return str(int(value)) if whole else str(value)


def _crs(path: Path, text: str | None) -> CRS | None:
    if not text:
        return None
    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise UserError(f"{path} has a CRS that cannot be read ({error})") from None
    # GeoPackage names "no CRS" by a local one.
    return None if crs.to_wkt().startswith(("LOCAL_CS", "ENGCRS")) else crs


def _falls(outlines: Outlines) -> bool:
    """Whether y falls from 0, as QGIS shows images that do not say where they lie."""
    _, bottom, _, top = shapely.total_bounds(outlines.shapes)
    return bool(-bottom > max(top, 0))  # People draw some pixels beyond an image's edge.


def _searched(outlines: Outlines, grid: Grid) -> shapely.Polygon:
    """Return a box around an image in coordinates of the outlines, with room beside it."""
    everywhere = shapely.box(*shapely.total_bounds(outlines.shapes))
    if not grid.is_placed or outlines.crs is None or grid.crs is None:
        return everywhere
    points = grid.coordinates(*lattice(grid.height, grid.width, _BORDER_POINTS))
    seen = reprojected(points, grid.crs, outlines.crs)
    if not np.isfinite(seen).all():
        return everywhere
    low, high = seen.min(axis=0), seen.max(axis=0)
    room = _BESIDE * (high - low)
    return shapely.box(*(low - room), *(high + room))
