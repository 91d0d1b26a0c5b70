"""Small pictures of images and maps for the page."""

import pathlib

import numpy as np
from PIL import Image

from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import ImageFile
from noise2map_jax.pictures.class_colours import class_colours
from noise2map_jax.previews.image_view import image_view
from noise2map_jax.previews.map_view import map_classes, open_map

LARGEST = 1600  # pixels a side
_OPACITY = 150  # of foreground over the image, of 255


def save_image(image: ImageFile, path: pathlib.Path) -> None:
    """Draw an image, at most `LARGEST` pixels a side.

    Raises:
        UserError: pixels are damaged.
    """
    pixels, _ = image_view(image, _size(image.grid))
    Image.fromarray(pixels).save(path)


def save_map(class_map: pathlib.Path, num_classes: int, path: pathlib.Path) -> None:
    """Draw the foreground of a map, to lie over the image: background and no data are clear."""
    table = np.zeros((256, 4), np.uint8)
    for index, colour in enumerate(_overlay_colours(num_classes)):
        table[index + 1] = (*colour, _OPACITY)
    file = open_map(str(class_map))
    Image.fromarray(table[map_classes(file, _size(file.grid))]).save(path)


def _size(grid: Grid) -> tuple[int, int]:
    """(rows, columns) of the picture of a scene."""
    shrunk = max(grid.height, grid.width, LARGEST) / LARGEST
    return max(int(grid.height / shrunk), 1), max(int(grid.width / shrunk), 1)


def _overlay_colours(num_classes: int) -> list[tuple[int, int, int]]:
    """Return colours that are seen over an image: a red for white, which the map's file has."""
    first, *others = class_colours(max(num_classes, 2))[1:]
    return [(230, 40, 40) if first == (255, 255, 255) else first, *others]


def legend(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return name and colour (#rrggbb) of each foreground class."""
    colours = ["#{:02x}{:02x}{:02x}".format(*c) for c in _overlay_colours(len(classes))]
    return list(zip(classes[1:], colours, strict=True))
