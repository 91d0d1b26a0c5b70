"""From a finished class map and its images to one PNG to look at."""

import pathlib

import numpy as np
import rasterio

from data_prep.imagery.band_choice import AS_FLAGGED, BandChoice
from data_prep.imagery.grid import crs_name
from noise2map_jax.buckets.address import local_path
from noise2map_jax.class_maps.class_map import NO_DATA
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.map_file import CACHE_MB, check_targets
from noise2map_jax.previews.ground_scale import metres_a_pixel, north
from noise2map_jax.previews.image_view import image_views
from noise2map_jax.previews.map_view import (
    NO_DATA_COLOUR,
    MapFile,
    map_classes,
    map_colours,
    open_map,
)
from noise2map_jax.previews.outlines import draw_outlines
from noise2map_jax.previews.panel_size import panel_size
from noise2map_jax.previews.scale_bar import scale_bar
from noise2map_jax.previews.sheet import Sheet, draw_sheet

CAPTIONS = {
    1: ("image", "map", "outlines on the image"),
    2: ("before", "after", "map", "outlines on the later image"),
}


def check_preview(output: str, others: list[str]) -> None:
    """Check that a preview can be written, before a scene is mapped.

    Args:
        output: the PNG to write.
        others: files that it must not overwrite.

    Raises:
        UserError: it has another suffix, or cannot be written there.
    """
    if local_path(output, "--preview").suffix.lower() != ".png":
        raise UserError(f"a preview is a PNG, but {output!r} is to be written; name it OUT.png")
    check_targets(others, [output])


def write_preview(
    class_map: str,
    images: list[str],
    output: str,
    *,
    choice: BandChoice = AS_FLAGGED,
    register: str = "",
) -> None:
    """Draw a map beside its images, and its outlines over the last one.

    All are read at the size of the picture, by windows: memory does not grow with the scene. Images
    of more than eight bits are stretched. The scale is that in the middle of the scene, along a
    row.

    Args:
        class_map: GeoTIFF of class indices, as `map_scene` writes it.
        images: the image that it was made of, or those before and after.
        output: the PNG to write: complete, or not there.
        choice: which bands of the images are read; the first three are shown, or the first one as
            grey.
        register: "apply" takes the shift between the dates out, as it was for the map; see
            `pair.aligned`.

    Raises:
        UserError: a file cannot be read or written, or the map is not that of the image.
    """
    check_preview(output, [class_map, *images])
    if len(images) not in CAPTIONS:
        raise UserError(f"a preview shows one image or two, but {len(images)} are given")
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        sheet = _sheet(open_map(class_map), images, choice, register)
    part = pathlib.Path(f"{output}.part")
    try:
        draw_sheet(sheet).save(part, format="PNG")
        part.replace(output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {output!r}: {error.strerror or error}") from None


def _sheet(file: MapFile, images: list[str], choice: BandChoice, register: str) -> Sheet:
    grid = file.grid
    size = panel_size(grid.height, grid.width, len(images) + 2)
    classes = map_classes(file, size.cells)
    views = [
        np.where(valid[..., None], pixels, NO_DATA_COLOUR).astype(np.uint8)
        for pixels, valid in image_views(images, choice, grid, size.cells, register)
    ]
    shown = [_zoomed(array, size.zoom) for array in (*views, map_colours(file, size.cells))]
    outlines = draw_outlines(shown[-2], _zoomed(classes, size.zoom), file.colours)
    legend = list(zip(file.colours, file.names, strict=True))
    if (classes == NO_DATA).any():
        legend.append((NO_DATA_COLOUR, "no data"))
    return Sheet(
        pathlib.Path(file.path).name,
        _subtitle(file, images),
        list(zip((*shown, outlines), CAPTIONS[len(images)], strict=True)),
        size.columns,
        legend,
        scale_bar(metres_a_pixel(grid), grid.width / size.pixels[1]),
        north(grid),
    )


def _subtitle(file: MapFile, images: list[str]) -> str:
    """Say what the map was made of, by what, and where it lies."""
    tags, grid = file.tags, file.grid
    parts = [f"of {' and '.join(pathlib.Path(image).name for image in images)}"]
    if "run" in tags:
        parts.append(f"run {tags['run']}, step {tags.get('step', 'unknown')}")
    parts.append(f"{grid.width:,} x {grid.height:,} pixels")
    parts.append(crs_name(grid.crs) if grid.crs else "no CRS")
    return "; ".join(parts)


def _zoomed(array: np.ndarray, zoom: int) -> np.ndarray:
    return array.repeat(zoom, axis=0).repeat(zoom, axis=1)
