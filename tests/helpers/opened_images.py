"""Opens images that a test writes."""

import contextlib

import numpy as np
from raster_files import write_tiff
from rasterio.transform import from_origin

from noise2map_jax.mapping import scene

PLACE = {"crs": "EPSG:32616", "transform": from_origin(5e5, 4e6, 0.5, 0.5)}


@contextlib.contextmanager
def opener(folder):
    """Yield a function that writes (pixels, profile) as a.tif, b.tif, ... and opens them."""
    with contextlib.ExitStack() as stack:

        def write(*images):
            found = []
            for name, (pixels, options) in zip("abcd", images, strict=False):
                path = write_tiff(folder / f"{name}.tif", pixels, **{**PLACE, **options})
                found.append(stack.enter_context(scene.open_image(str(path))))
            return found

        yield write


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3)).astype(np.uint8)
