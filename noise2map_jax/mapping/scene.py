"""Scenes of any size: their images, opened, compared and read by windows."""

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window

from data_prep.imagery import files, image_file
from data_prep.imagery.band_choice import AS_FLAGGED, BandChoice
from data_prep.imagery.bands import ReadError
from data_prep.imagery.edges import mirrored
from data_prep.imagery.image_file import ImageFile
from noise2map_jax.errors import UserError


@contextlib.contextmanager
def open_image(
    path: str, choice: BandChoice = AS_FLAGGED, *, overview: int | None = None
) -> Iterator[ImageFile]:
    """Open an image to read windows from it, as `data_prep` reads images.

    Args:
        path: the image.
        choice: which bands to read.
        overview: index of the overview to read instead of the image itself.

    Raises:
        UserError: the image does not exist or cannot be opened.
    """
    check_there(path)
    with contextlib.ExitStack() as stack:
        try:
            image = stack.enter_context(
                image_file.open_image(
                    pathlib.Path(path), choice, by_windows=True, overview=overview
                )
            )
        except ReadError as error:
            raise UserError(f"image {path!r} {error}") from None
        yield image


def check_there(path: str) -> None:
    """Check that an image exists.

    Raises:
        UserError: it does not.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"no image {path!r}")


def files_of(path: str) -> list[str]:
    """Return an image's file and those that it is made of, as a VRT is.

    Raises:
        UserError: the image does not exist.
    """
    check_there(path)
    place = pathlib.Path(path)
    if not files.names_other_files(place):
        return [path]
    try:
        with files.opened_raster(place, by_windows=True) as source:
            return [path, *source.files]
    except (ReadError, RasterioError):
        return [path]  # what is wrong is said when it is opened to be mapped


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
