"""Scenes of any size: reading windows of images, writing maps on the same grid."""

import contextlib
import dataclasses
import math
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from noise2map_jax.errors import UserError
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.pictures.class_colours import class_colours

ALIGNED = 0.01  # pixels that two grids may differ by: far too little to be seen in an image


@dataclasses.dataclass(frozen=True)
class Block:
    """One tile of a scene.

    Attributes:
        read: the window that the network sees; it may extend beyond the scene.
        core: the window that is written; cores cover the scene without gap or overlap.
    """

    read: Window
    core: Window

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of the core within the read window."""
        top = self.core.row_off - self.read.row_off
        left = self.core.col_off - self.read.col_off
        return slice(top, top + self.core.height), slice(left, left + self.core.width)


def blocks(height: int, width: int, tile_size: int, margin: int) -> Iterator[Block]:
    """Cut a scene into tiles that overlap by twice the margin, row by row.

    A network sees nothing beyond the edge of its tile, so a strip of `margin` pixels on each side
    is read but not written.

    Args:
        height: rows of the scene.
        width: columns of the scene.
        tile_size: side of a tile, in pixels.
        margin: width of the strip, in pixels.
    """
    step = tile_size - 2 * margin
    for row in range(0, height, step):
        for col in range(0, width, step):
            yield Block(
                read=Window(col - margin, row - margin, tile_size, tile_size),
                core=Window(col, row, min(step, width - col), min(step, height - row)),
            )


@contextlib.contextmanager
def open_image(path: str) -> Iterator[rasterio.DatasetReader]:
    """Open an image to read windows from it.

    Raises:
        UserError: the image does not exist or cannot be opened.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"no image {path!r}")
    with warnings.catch_warnings():
        # PNG, JPEG and plain TIFF have no georeference, so their maps have none either.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            image = rasterio.open(path)
        except RasterioError as error:
            raise UserError(f"cannot read image {path!r}: {error}") from None
        with image:
            yield image


@contextlib.contextmanager
def create_map(path: str, profile: dict[str, Any]) -> Iterator[rasterio.io.DatasetWriter]:
    """Write a GeoTIFF to `path.part`, and rename it to `path` once it is complete."""
    part = pathlib.Path(f"{path}.part")
    try:
        with rasterio.open(part, "w", **profile) as output:
            yield output
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def colour_bands(image: rasterio.DatasetReader) -> list[int]:
    """Numbers, from 1, of the bands other than alpha."""
    alpha = rasterio.enums.ColorInterp.alpha
    return [i for i, kind in enumerate(image.colorinterp, start=1) if kind != alpha]


def check_images(images: list[rasterio.DatasetReader], num_bands: int, dtype: str) -> None:
    """Compare images with the network's training data, and with each other.

    Raises:
        UserError: the images differ; the message has both values.
    """
    for image in images:
        found = len(colour_bands(image))
        if found != num_bands:
            raise UserError(
                f"image {image.name!r} has {found} bands; the network expects {num_bands}"
            )
        if image.colorinterp[0] == rasterio.enums.ColorInterp.palette:
            raise UserError(f"image {image.name!r} has a palette; convert it to {num_bands} bands")
        if image.dtypes[0] != dtype:
            raise UserError(
                f"image {image.name!r} is {image.dtypes[0]}; the network was trained on {dtype}"
            )
    first, last = images[0], images[-1]
    if first.shape != last.shape:
        raise UserError(
            f"images differ in size: {first.name!r} has {first.shape[0]} x {first.shape[1]} "
            f"pixels, {last.name!r} {last.shape[0]} x {last.shape[1]}"
        )
    if not _on_same_grid(first, last):
        raise UserError(
            f"images {first.name!r} and {last.name!r} are not on the same grid "
            f"({first.crs}, {last.crs}); warp one onto the other first"
        )


def _on_same_grid(first: rasterio.DatasetReader, second: rasterio.DatasetReader) -> bool:
    """Whether the pixels of two images of the same size cover the same ground.

    Corners are compared in pixels, because coordinates may be metres or degrees.
    """
    if first.crs != second.crs:
        return False
    to_first = ~first.transform
    return all(
        math.dist(corner, to_first * (second.transform * corner)) < ALIGNED
        for corner in ((0, 0), (first.width, 0), (0, first.height), first.shape[::-1])
    )


def read_block(image: rasterio.DatasetReader, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Read a window; beyond the scene's edges it holds mirrored pixels.

    Returns:
        Pixels [S, S, C] as stored, and [S, S] bool, True for pixels that hold data.
    """
    rows = mirrored(window.row_off, window.height, image.height)
    cols = mirrored(window.col_off, window.width, image.width)
    inside = Window(int(cols.min()), int(rows.min()), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1)
    try:
        pixels = image.read(colour_bands(image), window=inside)
        valid = image.dataset_mask(window=inside) > 0
    except RasterioError as error:
        raise UserError(f"cannot read image {image.name!r}: {error}") from None
    take = np.ix_(rows - rows.min(), cols - cols.min())
    return np.moveaxis(pixels, 0, -1)[take], valid[take]


def mirrored(offset: int, length: int, size: int) -> np.ndarray:
    """Indices of a window, reflected at the edges of [0, size) as often as needed."""
    period = max(2 * (size - 1), 1)
    position = np.arange(offset, offset + length) % period
    return np.minimum(position, period - position)


def map_profile(image: rasterio.DatasetReader, dtype: str, nodata: float | None) -> dict[str, Any]:
    """Return the rasterio profile of a one-band GeoTIFF on the grid of an image."""
    return {
        "driver": "GTiff",
        "height": image.height,
        "width": image.width,
        "count": 1,
        "dtype": dtype,
        "crs": image.crs,
        "transform": image.transform,
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
