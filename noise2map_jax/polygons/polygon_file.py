"""Files of polygons, written batch by batch: checked before the work, complete or not there."""

import contextlib
import importlib
import os
import pathlib
import string
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from noise2map_jax import strict_json
from noise2map_jax.buckets.address import local_path
from noise2map_jax.errors import UserError

if TYPE_CHECKING:
    import pyarrow
    import pyproj

_LIBRARIES = ("pyogrio", "pyarrow", "pyproj")  # of the extra gis
_BATCH = 10_000  # features written at once, at least
_GEOMETRY = "geometry"


@dataclass(frozen=True)
class Features:
    """N polygons with what is known of them.

    Attributes:
        polygons: [N] shapely polygons in coordinates of the file.
        names: [N] names of the classes.
        classes: [N] class indices.
        areas: [N] areas.
        probabilities: [N] mean probabilities, NaN where there is none; None = no such column.
    """

    polygons: np.ndarray
    names: np.ndarray
    classes: np.ndarray
    areas: np.ndarray
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class Layer:
    """What all batches of a file have in common.

    Attributes:
        crs: CRS of the coordinates; None = not known.
        area: name of the column of areas.
        has_probability: whether there is a column of mean probabilities.
    """

    crs: "pyproj.CRS | None"
    area: str
    has_probability: bool

    @property
    def schema(self) -> "pyarrow.Schema":
        """The columns."""
        import pyarrow as pa

        columns = [
            pa.field("class", pa.string()),
            pa.field("class_index", pa.int32()),
            pa.field(self.area, pa.float64()),
        ]
        if self.has_probability:
            columns.append(pa.field("mean_probability", pa.float64()))
        # GDAL knows the column by this name of its encoding.
        wkb = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": "{}"}
        return pa.schema([*columns, pa.field(_GEOMETRY, pa.binary(), metadata=wkb)])

    def batch(self, features: Features) -> "pyarrow.RecordBatch":
        """Return features as a batch of the columns."""
        import pyarrow as pa

        columns = [features.names, features.classes, features.areas]
        if features.probabilities is not None:
            columns.append(np.ma.masked_invalid(features.probabilities))
        columns.append(shapely.to_wkb(features.polygons, byte_order=1))
        arrays = [
            pa.array(np.ma.getdata(column), field.type, mask=np.ma.getmaskarray(column))
            for column, field in zip(columns, self.schema, strict=True)
        ]
        return pa.record_batch(arrays, schema=self.schema)


def check_output(path: str, sources: tuple[str, ...] = ()) -> None:
    """Check that polygons can be written to a file, before the work begins.

    Args:
        path: the file.
        sources: files that must not be overwritten.

    Raises:
        UserError: its suffix says no format, a library is missing, it would overwrite a source, is
            a folder, or lies where nothing can be written.
    """
    place = local_path(path, "--polygons").resolve()
    if place.suffix.lower() not in FORMATS:
        raise UserError(f"{path!r}: polygons are written as {', '.join(FORMATS)}; name such a file")
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(
                f"{path!r} needs {name}, which is not installed: pip install 'noise2map_jax[gis]'"
            ) from None
    for source in sources:
        if pathlib.Path(source).resolve() == place:
            raise UserError(f"{path!r} would overwrite {source!r}; choose another name")
    if place.is_dir():
        raise UserError(f"{path!r} is a folder; name a file, such as {path}/map.gpkg")
    if not place.parent.is_dir():
        raise UserError(f"no folder {str(place.parent)!r} to write {path!r} to")
    part = _part(place)
    try:  # Rights alone do not tell: the file system may be read-only.
        part.touch()
        part.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {str(place.parent)!r}: {error.strerror}") from None
    if place.exists() and not os.access(place, os.W_OK):
        raise UserError(f"{path!r} exists and must not be overwritten; choose another name")


def holds_wgs84(path: str) -> bool:
    """Return whether a file of this name holds longitudes and latitudes whatever the map's CRS."""
    return pathlib.Path(path).suffix.lower() == ".geojson"


def write_features(path: str, layer: Layer, features: Iterator[Features]) -> None:
    """Write features as they come to NAME.part.SUFFIX, and rename it once it is complete.

    Raises:
        UserError: the place cannot be written to, or is full.
    """
    import pyarrow as pa

    place = pathlib.Path(path)
    part = _part(place)
    raised: list[BaseException] = []
    batches = _kept(map(layer.batch, _gathered(features)), raised)
    try:
        _remove(part)
        reader = pa.RecordBatchReader.from_batches(layer.schema, batches)
        FORMATS[place.suffix.lower()](part, _layer_name(place), layer, reader)
        part.replace(place)
    except Exception as error:
        if raised:  # The libraries between show it as an error of their own.
            raise raised[0] from None
        if isinstance(error, OSError | RuntimeError):
            reason = " ".join(str(error).split())
            raise UserError(f"cannot write {path!r}: {reason}") from None
        raise
    finally:
        _remove(part)


def _write_geopackage(
    path: pathlib.Path, name: str, layer: Layer, batches: "pyarrow.RecordBatchReader"
) -> None:
    # GDAL 3.6, of QGIS 3.28, warns of version 1.4.
    options = {"VERSION": "1.3"}
    _write_by_gdal(path, name, layer, batches, driver="GPKG", dataset_options=options)


def _write_geojson(
    path: pathlib.Path, name: str, layer: Layer, batches: "pyarrow.RecordBatchReader"
) -> None:
    # RFC 7946: longitude and latitude, rings by the right hand, cut at 180 degrees. Its seven
    # decimals, a centimetre, are too few for the pixels of drones.
    options = {"RFC7946": "YES", "COORDINATE_PRECISION": "9"}
    _write_by_gdal(path, name, layer, batches, driver="GeoJSON", layer_options=options)


def _write_by_gdal(
    path: pathlib.Path,
    name: str,
    layer: Layer,
    batches: "pyarrow.RecordBatchReader",
    **options: Any,
) -> None:
    import pyogrio

    with warnings.catch_warnings():
        if layer.crs is None:
            warnings.filterwarnings("ignore", "'crs' was not provided")
        pyogrio.write_arrow(
            batches,
            path,
            layer=name,
            geometry_name=_GEOMETRY,
            geometry_type="Polygon",
            crs=layer.crs and layer.crs.to_wkt(),
            **options,
        )


def _write_parquet(
    path: pathlib.Path, name: str, layer: Layer, batches: "pyarrow.RecordBatchReader"
) -> None:
    """Write GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0)."""
    import pyarrow.parquet as pq

    del name  # Parquet has no layers.
    column = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": layer.crs and layer.crs.to_json_dict(),
    }
    about = {"version": "1.1.0", "primary_column": _GEOMETRY, "columns": {_GEOMETRY: column}}
    # Readers that know GeoParquet need no other sign, and some take both for a contradiction.
    schema = layer.schema
    last = len(schema) - 1
    schema = schema.set(last, schema.field(last).remove_metadata())
    schema = schema.with_metadata({"geo": strict_json.dumps(about)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema))


FORMATS: dict[str, Callable[[pathlib.Path, str, Layer, "pyarrow.RecordBatchReader"], None]] = {
    ".gpkg": _write_geopackage,
    ".geojson": _write_geojson,
    ".parquet": _write_parquet,
}


def _gathered(features: Iterator[Features]) -> Iterator[Features]:
    """Put small batches together: files of many small ones are large and slow to read."""
    waiting: list[Features] = []
    for each in features:
        waiting.append(each)
        if sum(len(some.polygons) for some in waiting) >= _BATCH:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _together(waiting: list[Features]) -> Features:
    probabilities = [some.probabilities for some in waiting if some.probabilities is not None]
    return Features(
        np.concatenate([some.polygons for some in waiting]),
        np.concatenate([some.names for some in waiting]),
        np.concatenate([some.classes for some in waiting]),
        np.concatenate([some.areas for some in waiting]),
        np.concatenate(probabilities) if probabilities else None,
    )


def _kept(batches: Iterator[Any], raised: list[BaseException]) -> Iterator[Any]:
    """Keep what is raised while batches are made."""
    try:
        yield from batches
    except Exception as error:
        raised.append(error)
        raise


def _layer_name(place: pathlib.Path) -> str:
    """Return the name of the layer: that of the file without what GDAL refuses at the beginning."""
    return place.stem.lstrip(string.punctuation + string.whitespace) or "polygons"


def _part(place: pathlib.Path) -> pathlib.Path:
    # The suffix stays: GDAL warns of others.
    return place.with_name(f"{place.stem}.part{place.suffix}")


def _remove(part: pathlib.Path) -> None:
    """Remove an incomplete file, and the journals that SQLite would take for the next one's."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            part.with_name(part.name + suffix).unlink()
