"""Small pictures of images and maps for the page."""

import pathlib
import warnings

import numpy as np
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from data_prep.imagery.image_file import ImageFile
from noise2map_jax.mapping import scene
from noise2map_jax.pictures.class_colours import class_colours

LARGEST = 1600  # pixels a side
_ROWS = 256  # that are read at once, at most
_OPACITY = 150  # of foreground over the image, of 255


def save_image(image: ImageFile, path: pathlib.Path) -> None:
    """Draw an image, at most `LARGEST` pixels a side; other than 8 bits are stretched.

    Raises:
        UserError: pixels are damaged.
    """
    height, width = image.grid.height, image.grid.width
    step = -(-max(height, width) // LARGEST)
    strips = []
    for row in range(0, height, step * max(_ROWS // step, 1)):
        rows = min(step * max(_ROWS // step, 1), height - row)
        pixels, _ = scene.read_block(image, Window(0, row, width, rows))
        strips.append(pixels[::step, ::step])
    pixels = np.concatenate(strips)
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1].repeat(3, axis=-1)
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (2, 98))
        scaled = (pixels.astype(np.float32) - low) / max(high - low, 1) * 255
        pixels = scaled.clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def save_map(class_map: pathlib.Path, num_classes: int, path: pathlib.Path) -> None:
    """Draw the foreground of a map, to lie over the image: background and no data are clear."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        source = rasterio.open(class_map)
    with source:
        step = -(-max(source.height, source.width) // LARGEST)
        shape = -(-source.height // step), -(-source.width // step)
        classes = source.read(1, out_shape=shape)
    table = np.zeros((256, 4), np.uint8)
    for index, colour in enumerate(_overlay_colours(num_classes)):
        table[index + 1] = (*colour, _OPACITY)
    Image.fromarray(table[classes]).save(path)


def _overlay_colours(num_classes: int) -> list[tuple[int, int, int]]:
    """Return colours that are seen over an image: a red for white, which the map's file has."""
    first, *others = class_colours(max(num_classes, 2))[1:]
    return [(230, 40, 40) if first == (255, 255, 255) else first, *others]


def legend(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return name and colour (#rrggbb) of each foreground class."""
    colours = ["#{:02x}{:02x}{:02x}".format(*c) for c in _overlay_colours(len(classes))]
    return list(zip(classes[1:], colours, strict=True))
