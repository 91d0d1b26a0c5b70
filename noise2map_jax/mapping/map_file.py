"""Maps as GeoTIFFs on the grid of an image: checked before the work, complete or not there."""

import contextlib
import os
import pathlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from data_prep.imagery.grid import Grid, control_points, rational_polynomials
from noise2map_jax.errors import UserError
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.pictures.class_colours import class_colours

# Bytes of a pixel once written: class maps are mostly flat and compress well, probabilities hardly.
_BYTES = {"uint8": 0.25, "float32": 4.0}


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
        part = pathlib.Path(f"{target}.part")
        try:  # Rights alone do not tell: the file system may be read-only.
            part.touch()
            part.unlink()
        except OSError as error:
            raise UserError(f"cannot write to {str(place.parent)!r}: {error.strerror}") from None
        if place.exists() and not os.access(place, os.W_OK):
            raise UserError(f"{target!r} exists and must not be overwritten; choose another name")
        seen[place] = target


def check_space(grid: Grid, dtypes: Mapping[str, str]) -> None:
    """Check that there is space for maps of a grid.

    Args:
        grid: grid of the scene.
        dtypes: path of each map and the type of its pixels.

    Raises:
        UserError: a disk is too full; the message has both numbers.
    """
    needed: dict[int, float] = {}
    for path, dtype in dtypes.items():
        folder = pathlib.Path(path).resolve().parent
        disk = folder.stat().st_dev
        needed[disk] = needed.get(disk, 0) + grid.height * grid.width * _BYTES[dtype]
        free = shutil.disk_usage(folder).free
        if free < needed[disk]:
            raise UserError(
                f"{str(folder)!r} has {free / 1e9:.2f} GB free, and the maps may take"
                f" {needed[disk] / 1e9:.2f} GB: make space, or choose another disk"
            )


@contextlib.contextmanager
def create_map(path: str, profile: dict[str, Any]) -> Iterator[rasterio.io.DatasetWriter]:
    """Write a GeoTIFF to `path.part`, and rename it to `path` once it is complete.

    Raises:
        UserError: the place cannot be written to, or is full.
    """
    part = pathlib.Path(f"{path}.part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(part, "w", **profile) as output:
                yield output
            part.replace(path)
        except (RasterioError, OSError) as error:
            raise UserError(f"cannot write {path!r}: {error}") from None
        finally:
            part.unlink(missing_ok=True)


def map_profile(grid: Grid, dtype: str, nodata: float | None) -> dict[str, Any]:
    """Return the rasterio profile of a one-band GeoTIFF on the grid of an image.

    Control points and rational polynomials are carried over as they are.
    """
    place: dict[str, Any] = {}
    if grid.points:
        place = {"gcps": control_points(grid), "crs": grid.crs}
    elif grid.rpcs:
        place = {"rpcs": rational_polynomials(grid)}
    elif grid.is_placed:
        place = {"transform": grid.transform, "crs": grid.crs}
    return place | {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": 1,
        "dtype": dtype,
        "nodata": nodata,
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "BIGTIFF": "IF_SAFER",
    }


def describe_map(output: rasterio.io.DatasetWriter, classes: tuple[str, ...]) -> None:
    """Write class colours and names into a map."""
    colours = dict(enumerate(class_colours(len(classes))))
    output.write_colormap(1, colours | {IGNORE: (128, 128, 128)})
    output.update_tags(classes=", ".join(f"{k} = {name}" for k, name in enumerate(classes)))
