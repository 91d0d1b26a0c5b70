"""Reads polygons that people drew in a GIS."""

import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from data_prep.basics.errors import UserError
from data_prep.imagery.grid import crs_name

_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
MEND = "QGIS mends them: Processing, Fix geometries"
# How GeoPackage names "no CRS": two local ones.
_NO_CRS = ("LOCAL_CS", "ENGCRS", 'GEOGCS["Undefined', 'GEOGCRS["Undefined')
_SHP_LENGTH = 24  # Where a Shapefile states its length, in words of 16 bits.


@dataclass(frozen=True)
class Outlines:
    """Polygons of a file.

    Attributes:
      path: The file.
      shapes: [P] polygons and multipolygons in coordinates of the file.
      values: [P] uint8, the class index of each.
      features: [P] the number of each in the file, from 1.
      num_features: Features of the file, also those without a geometry.
      crs: CRS of the coordinates; None if the file names none.
      tree: Finds the shapes that meet a box.
    """

    path: Path
    shapes: np.ndarray
    values: np.ndarray
    features: np.ndarray
    num_features: int
    crs: CRS | None
    tree: shapely.STRtree

    @property
    def extent(self) -> str:
        """Where the polygons lie, in words."""
        left, bottom, right, top = shapely.total_bounds(self.shapes)
        where = f" of {crs_name(self.crs)}" if self.crs else ""
        return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}{where}"


def read_outlines(
    path: Path,
    *,
    layer: str = "",
    classes: Sequence[str] = (),
    field: str = "",
    may_be_empty: bool = False,
    layer_option: str = "--layer",
) -> Outlines:
    """Read the polygons of a GeoPackage, GeoJSON, Shapefile or another file that GDAL knows.

    Args:
      path: The file.
      layer: Its layer; empty: the only one.
      classes: Names of the classes, background first.
      field: Column that holds the name or the index of each polygon's class; empty: all polygons
        are of class 1.
      may_be_empty: Whether the file may hold no feature.
      layer_option: Name of the option that chooses the layer, for messages.

    Raises:
      UserError: pyogrio is missing, the file cannot be read or is damaged, or it has several
        layers, no polygon, geometries that are no polygons, no such column, or a class that is not
        among the names.
    """
    meta, found, columns = _read(path, layer, field, layer_option)
    is_null = np.array([one is None for one in found], bool)
    shapes = shapely.from_wkb(found, on_invalid="ignore")
    _refuse(path, shapely.is_missing(shapes) & ~is_null, f"damaged rings; {MEND}")
    kept = ~(is_null | shapely.is_empty(shapes))
    others = kept & ~np.isin(shapely.get_type_id(shapes), _POLYGONS)
    _refuse(path, others, "points or lines; expected polygons alone, so take the others out")
    if not kept.any() and not (may_be_empty and not len(shapes)):
        among = f": {len(shapes)} features without a geometry" if len(shapes) else ""
        raise UserError(f"{path} holds no polygon{among}")
    shapes = shapely.force_2d(shapes[kept])
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise UserError(f"{path} holds a corner that is not finite; {MEND}")
    values = np.ones(len(shapes), np.uint8)
    if field and len(shapes):
        values = _class_indices(path, field, columns[0][kept], classes)
    features = 1 + np.flatnonzero(kept)
    crs, tree = _crs(path, meta["crs"]), shapely.STRtree(shapes)
    return Outlines(path, shapes, values, features, len(kept), crs, tree)


def _read(
    path: Path, layer: str, field: str, option: str
) -> tuple[dict[str, Any], np.ndarray, list[Any]]:
    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        import pyogrio
        import pyogrio.errors
    except ImportError:
        raise UserError(
            f"{path} needs pyogrio, which is not installed: pip install 'noise2map_jax[gis]'"
        ) from None
    _check_length(path)
    try:
        # QGIS keeps styles in a layer of their own, a table.
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind]
        if not layers:
            raise UserError(f"{path} holds a table without geometries")
        if layer not in ("", *layers):
            raise UserError(f"{path} has no layer {layer!r}; it has {', '.join(layers)}")
        if not layer and len(layers) != 1:
            raise UserError(f"{path} has the layers {', '.join(layers)}; choose one by {option}")
        name = layer or layers[0]
        about = pyogrio.read_info(path, layer=name)
        columns = [str(column) for column in about["fields"]]
        if field not in ("", *columns) and about["features"]:
            held = ", ".join(columns) or "none"
            raise UserError(f"{path} has no column {field!r}; it has {held}")
        with warnings.catch_warnings():
            # GDAL warns of rings that are not closed, which are refused here.
            warnings.simplefilter("ignore", RuntimeWarning)
            meta, _, found, values = pyogrio.raw.read(
                path, layer=name, columns=[field] if field else [], force_2d=True
            )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read ({text}); save it as a GeoPackage") from None
    return meta, found, values


def _check_length(path: Path) -> None:
    """Refuse a Shapefile that was cut off: GDAL reads it as far as it goes."""
    if path.suffix.lower() != ".shp":
        return
    head, found = path.read_bytes()[: _SHP_LENGTH + 4], path.stat().st_size
    stated = 2 * struct.unpack_from(">i", head, _SHP_LENGTH)[0] if len(head) > _SHP_LENGTH else 0
    if len(head) <= _SHP_LENGTH or found < stated:
        raise UserError(
            f"{path} was cut off: it has {found} of {stated or 'over 100'} bytes; copy it again"
        )


def _refuse(path: Path, wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        raise UserError(
            f"{path}: {wrong.sum()} of {len(wrong)} features (first: number"
            f" {1 + np.flatnonzero(wrong)[0]}) have {what}"
        )


def _class_indices(
    path: Path, field: str, column: np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Return the class index of each polygon from its name or index in a column."""
    known = {str(index): index for index in range(len(classes))}
    named = {name: index for index, name in enumerate(classes)}
    if any(known.get(name, index) != index for name, index in named.items()):
        known = {}  # Names that are numbers, and other ones than the indices.
    known |= named
    texts = [_text(value, known) for value in column.tolist()]
    _refuse(path, np.array([not text for text in texts]), f"no value in the column {field!r}")
    if unknown := sorted({text for text in texts if text not in known}):
        raise UserError(
            f"{path}: the column {field!r} holds {', '.join(map(repr, unknown[:5]))}; expected"
            f" {', '.join(map(str, dict.fromkeys([*named, *known])))} (--classes names others)"
        )
    return np.array([known[text] for text in texts], np.uint8)


def _text(value: Any, known: Mapping[str, int]) -> str:
    """Return a value of a column as people write it, 2.0 as 2; empty for none."""
    if value is None or value != value:  # Not a number.
        return ""
    text = str(value)
    if text in known:
        return text
    try:
        number = float(value)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def _crs(path: Path, text: str | None) -> CRS | None:
    if not text:
        return None
    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise UserError(f"{path} has a CRS that cannot be read ({error})") from None
    return None if crs.to_wkt().startswith(_NO_CRS) else crs
