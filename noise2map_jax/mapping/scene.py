"""Scenes of any size: tiles that cover them, and windows of their images."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
from rasterio.windows import Window

from data_prep.imagery import image_file
from data_prep.imagery.band_choice import AS_FLAGGED, BandChoice
from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import (
    difference,
    turn_onto,
    warp_command,
)
from data_prep.imagery.image_file import ImageFile
from noise2map_jax.errors import UserError


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
def open_image(path: str, choice: BandChoice = AS_FLAGGED) -> Iterator[ImageFile]:
    """Open an image to read windows from it, as `data_prep` reads images.

    Raises:
        UserError: the image does not exist or cannot be opened.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"no image {path!r}")
    with contextlib.ExitStack() as stack:
        try:
            image = stack.enter_context(
                image_file.open_image(pathlib.Path(path), choice, by_windows=True)
            )
        except ReadError as error:
            raise UserError(f"image {path!r} {error}") from None
        yield image


def check_images(images: list[ImageFile], num_bands: int, dtype: str) -> None:
    """Compare images with the network's training data.

    Raises:
        UserError: the images differ; the message has both values.
    """
    for image in images:
        name = str(image.path)
        if image.num_bands != num_bands:
            how = (
                "--bands=1,1,1 makes three bands of grey"
                if image.num_bands == 1
                else f"--bands={','.join(map(str, range(1, num_bands + 1)))} chooses bands"
            )
            raise UserError(
                f"image {name!r} has {image.num_bands} band(s); the network expects {num_bands}"
                f" ({how})"
            )
        if image.dtype != dtype:
            raise UserError(f"image {name!r} is {image.dtype}; the network was trained on {dtype}")


def aligned(images: list[ImageFile]) -> tuple[list[ImageFile], list[str]]:
    """Bring the images of a pair onto the grid of the first, where turning them is enough.

    Returns:
        The images, and notes on what was done or is not known, one sentence each.

    Raises:
        UserError: they lie on different grids, or differ in size; the message says by how much.
    """
    first, *others = images
    result, notes = [first], []
    for image in others:
        pair = f"{str(first.path)!r} and {str(image.path)!r}"
        turn = turn_onto(image.grid, first.grid)
        if turn is None and not (first.grid.is_placed and image.grid.is_placed):
            raise UserError(
                f"images {pair} differ in size: {first.grid.height} x {first.grid.width} and"
                f" {image.grid.height} x {image.grid.width} pixels"
            )
        if turn is None:
            how = warp_command(first.grid, image.grid, str(first.path), str(image.path))
            raise UserError(
                f"images {pair} are not on the same grid. The second has"
                f" {difference(first.grid, image.grid)} ({how})"
            )
        if turn:
            notes.append(f"{image.path} is {turn.in_words()} to lie on the grid of {first.path}")
        if image.grid.is_placed != first.grid.is_placed:
            unknown = first if image.grid.is_placed else image
            notes.append(
                f"{unknown.path} does not say where it lies; its pixels are taken to be those of"
                " the other image"
            )
        result.append(image.turned(turn) if turn else image)
    return result, notes


def read_block(image: ImageFile, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Read a window; beyond the scene's edges it holds mirrored pixels.

    Returns:
        Pixels [S, S, C] as seen, and [S, S] bool, True for pixels that hold data.
    """
    rows = mirrored(window.row_off, window.height, image.grid.height)
    cols = mirrored(window.col_off, window.width, image.grid.width)
    inside = (int(rows.min()), int(cols.min()), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    try:
        raster = image.read(inside)
    except ReadError as error:
        raise UserError(f"image {str(image.path)!r} {error}") from None
    take = np.ix_(rows - rows.min(), cols - cols.min())
    valid = np.ones(raster.pixels.shape[:2], bool) if raster.valid is None else raster.valid
    return raster.pixels[take], valid[take]


def mirrored(offset: int, length: int, size: int) -> np.ndarray:
    """Indices of a window, reflected at the edges of [0, size) as often as needed."""
    period = max(2 * (size - 1), 1)
    position = np.arange(offset, offset + length) % period
    return np.minimum(position, period - position)
