"""The images of a map at the size of a picture."""

import contextlib
import pathlib

import numpy as np

from data_prep.imagery import files
from data_prep.imagery.band_choice import BandChoice
from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import ImageFile
from data_prep.imagery.turn import Window
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import pair, scene
from noise2map_jax.pictures.prediction_rows import to_rgb
from noise2map_jax.previews.cells import cell_means

EIGHT_BITS = (0.0, 255.0)


def image_views(
    paths: list[str],
    choice: BandChoice,
    grid: Grid,
    cells: tuple[int, int],
    register: str = "",
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the images of a map: as seen, the second on the grid of the first.

    Args:
        paths: the image, or the images before and after.
        choice: which bands to read; the first three are shown.
        grid: that of the map.
        cells: (rows, columns) of the result.
        register: whether the shift between the dates is taken out; see `pair.aligned`.

    Returns:
        For each image [rows, columns, 3] uint8, and [rows, columns] bool, where it holds data.

    Raises:
        UserError: an image cannot be read, or is not the one that the map was made of.
    """
    with contextlib.ExitStack() as stack:
        factor = min(grid.height // cells[0], grid.width // cells[1])
        level = None if register else _level(paths, factor)  # a shift is measured in whole images
        images = [
            stack.enter_context(scene.open_image(path, choice, overview=level)) for path in paths
        ]
        whole = images[0].grid
        if level is not None:
            whole = stack.enter_context(scene.open_image(paths[0], choice)).grid
        if (whole.height, whole.width) != (grid.height, grid.width):
            raise UserError(
                f"image {paths[0]!r} has {whole.height} x {whole.width} pixels, but the map of it"
                f" has {grid.height} x {grid.width}: is it another image?"
            )
        images, _ = pair.aligned(images, register=register)
        return [image_view(image, cells) for image in images]


def _level(paths: list[str], factor: int) -> int | None:
    """Return the coarsest overview that all images have and that is finer than a cell."""
    try:
        found = [files.overviews(pathlib.Path(path)) for path in paths if _exists(path)]
    except ReadError:
        return None  # opening the image says what is wrong with it
    level = None
    for index, coarser in enumerate(zip(*found, strict=False)):
        if len(set(coarser)) > 1 or coarser[0] > factor:
            break
        level = index
    return level


def _exists(path: str) -> bool:
    return pathlib.Path(path).is_file()


def image_view(image: ImageFile, cells: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Average an open image over cells, as seen; see `image_views` for what is returned."""

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        try:
            raster = image.read(window)
        except ReadError as error:
            raise UserError(f"image {str(image.path)!r} {error}") from None
        valid = raster.valid
        return raster.pixels, np.ones(raster.pixels.shape[:2], bool) if valid is None else valid

    means, known = cell_means(read, (image.grid.height, image.grid.width), cells)
    if not known.any():
        return np.zeros((*cells, 3), np.uint8), known
    return to_rgb(np.round(means).astype(image.dtype), EIGHT_BITS, known), known
