"""Maps as Cloud-Optimized GeoTIFFs on the grid of an image: complete, or not there.

Rows are first written to `PATH.rows.part`, a plain GeoTIFF, of which `PATH.part` is made with
overviews; that is renamed. A map that was interrupted leaves nothing with the name of the output.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from data_prep.imagery.grid import Grid, control_points, rational_polynomials
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.layers import Layer

# Bytes of a value once written: class maps are mostly flat and compress well, probabilities hardly.
_BYTES = {"uint8": 0.25, "float32": 4.0}
_TWICE = 2.4  # The rows, and the map with overviews, are there at once.
# Megabytes of blocks that GDAL keeps; by default a twentieth of the machine's memory.
CACHE_MB = 64


def check_targets(sources: list[str], targets: list[str]) -> None:
    """Check that maps can be written, before a scene is predicted.

    Raises:
        UserError: an output would overwrite an input or another output, is a folder or a device, or
            lies where nothing can be written.
    """
    seen = {pathlib.Path(path).resolve(): path for path in sources}
    for target in targets:
        place = pathlib.Path(target).resolve()
        if place in seen:
            raise UserError(f"{target!r} would overwrite {seen[place]!r}; choose another name")
        if place.is_dir():
            raise UserError(f"{target!r} is a folder; name a file, such as {target}/map.tif")
        if place.exists() and not place.is_file():  # A map takes the place of what is there.
            raise UserError(f"{target!r} is a device or pipe; name a file, such as map.tif")
        if not place.parent.is_dir():
            raise UserError(f"no folder {str(place.parent)!r} to write {target!r} to")
        try:  # Rights alone do not tell: the file system may be read-only.
            tempfile.TemporaryFile(dir=place.parent).close()
        except OSError as error:
            raise UserError(f"cannot write to {str(place.parent)!r}: {error.strerror}") from None
        if place.exists() and not os.access(place, os.W_OK):
            raise UserError(f"{target!r} exists and must not be overwritten; choose another name")
        seen[place] = target


def check_space(grid: Grid, layers: Mapping[str, Layer]) -> None:
    """Check that there is space for maps of a grid.

    Args:
        grid: grid of the scene.
        layers: path of each map and what it shows.

    Raises:
        UserError: a disk is too full; the message has both numbers.
    """
    needed: dict[int, float] = {}
    for path, layer in layers.items():
        folder = pathlib.Path(path).resolve().parent
        disk = folder.stat().st_dev
        values = grid.height * grid.width * len(layer.band_names) * _TWICE
        needed[disk] = needed.get(disk, 0) + values * _BYTES[layer.dtype]
        free = shutil.disk_usage(folder).free
        if free < needed[disk]:
            raise UserError(
                f"{str(folder)!r} has {free / 1e9:.2f} GB free, and the maps may take"
                f" {needed[disk] / 1e9:.2f} GB: make space, or choose another disk"
            )


@contextlib.contextmanager
def create_map(
    path: str, grid: Grid, layer: Layer, tags: Mapping[str, str]
) -> Iterator[rasterio.io.DatasetWriter]:
    """Write a map by rows.

    Args:
        path: the GeoTIFF to write.
        grid: grid of the image. Control points and rational polynomials are carried over.
        layer: what the map shows.
        tags: what else to say of it.

    Raises:
        UserError: the place cannot be written to, or is full.
    """
    rows = pathlib.Path(f"{path}.rows.part")
    with create_rows(rows, path, grid, layer, tags) as output:
        yield output
    optimize(rows, path, layer)


@contextlib.contextmanager
def create_rows(
    rows: pathlib.Path, path: str, grid: Grid, layer: Layer, tags: Mapping[str, str]
) -> Iterator[rasterio.io.DatasetWriter]:
    """Write the rows of a map that will be called `path`; nothing is left after an error."""
    profile = _place(grid) | {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": len(layer.band_names),
        "dtype": layer.dtype,
        "nodata": layer.nodata,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "BIGTIFF": "YES",
        # Fast, for a file that is read once; blocks without data take no space.
        "compress": "lzw",
        "SPARSE_OK": True,
    }
    with _careful(path, rows), rasterio.open(rows, "w", **profile) as output:
        _describe(output, layer, tags)
        yield output


def optimize(rows: pathlib.Path, path: str, layer: Layer) -> None:
    """Make a Cloud-Optimized GeoTIFF of rows, and remove them.

    Raises:
        UserError: the place is full.
    """
    part = pathlib.Path(f"{path}.part")
    with _careful(path, rows, part):
        rasterio.shutil.copy(
            rows,
            part,
            driver="COG",
            compress="deflate",
            predictor="yes",
            blocksize=512,
            overview_resampling="mode" if layer.colours else "average",
            bigtiff="if_safer",
            sparse_ok=True,
            num_threads="all_cpus",
        )
        part.replace(path)
    rows.unlink()


@contextlib.contextmanager
def _careful(path: str, *files: pathlib.Path) -> Iterator[None]:
    """Say what cannot be written, and then leave no file behind; bound what GDAL keeps."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            yield
        except BaseException as error:
            for file in files:
                file.unlink(missing_ok=True)
            if isinstance(error, RasterioError | OSError):
                # rasterio only points to the exception before, which has the reason.
                reason = " ".join(str(error.__cause__ or error).split())
                raise UserError(f"cannot write {path!r}: {reason}") from None
            raise


def _place(grid: Grid) -> dict[str, Any]:
    if grid.points:
        return {"gcps": control_points(grid), "crs": grid.crs}
    if grid.rpcs:
        return {"rpcs": rational_polynomials(grid)}
    return {"transform": grid.transform, "crs": grid.crs} if grid.is_placed else {}


def _describe(output: rasterio.io.DatasetWriter, layer: Layer, tags: Mapping[str, str]) -> None:
    """Write band names, colours and what made the map."""
    for band, name in enumerate(layer.band_names, start=1):
        output.set_band_description(band, name)
    if layer.colours:
        output.write_colormap(1, layer.colours)
    output.scales = (layer.scale,) * output.count
    output.update_tags(**layer.tags, **tags)
