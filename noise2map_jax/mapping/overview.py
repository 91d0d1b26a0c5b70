"""Images and maps at the size of a picture; memory does not grow with the scene."""

import warnings

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from data_prep.imagery.image_file import ImageFile
from noise2map_jax.mapping import scene

_ROWS = 256  # that are read at once, at most


def step_of(height: int, width: int, largest: int) -> int:
    """Return which pixels are shown: every step-th, so that no side is longer than `largest`."""
    return -(-max(height, width) // largest)


def image_overview(image: ImageFile, largest: int) -> np.ndarray:
    """Read an image as people see it; other than 8 bits are stretched from percentile 2 to 98.

    Args:
        image: the open image.
        largest: pixels of the longer side, at most.

    Returns:
        [h, w, 3] uint8.

    Raises:
        UserError: pixels are damaged.
    """
    height, width = image.grid.height, image.grid.width
    step = step_of(height, width, largest)
    at_once = step * max(_ROWS // step, 1)
    strips = []
    for row in range(0, height, at_once):
        pixels, _ = scene.read_block(image, Window(0, row, width, min(at_once, height - row)))
        strips.append(pixels[::step, ::step])
    pixels = np.concatenate(strips)
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1].repeat(3, axis=-1)
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (2, 98))
        scaled = (pixels.astype(np.float32) - low) / max(high - low, 1) * 255
        pixels = scaled.clip(0, 255).astype(np.uint8)
    return pixels


def map_overview(path: str, largest: int) -> np.ndarray:
    """Read a class map, [h, w] uint8, of the size of `image_overview`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        source = rasterio.open(path)
    with source:
        step = step_of(source.height, source.width, largest)
        shape = -(-source.height // step), -(-source.width // step)
        return np.asarray(source.read(1, out_shape=shape))
