"""Builds of `data_prep folder` in tests: writes the files, runs the command, loads the result."""

import json
import zlib

import numpy as np
import rasterio
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.__main__ import main, parse
from data_prep.builders import folder

GRID = {"crs": "EPSG:32616", "transform": rasterio.Affine(0.5, 0, 100, 0, -0.5, 100)}


def grid_of(stem):
    """Return a grid far from that of any other stem, so that each scene is its own place."""
    north = rasterio.Affine.translation(0, 1000 * (zlib.crc32(stem.encode()) % 9000))
    return GRID | {"transform": north * GRID["transform"]}


def save(path, array, grid=None):
    """Save [H, W] or [H, W, C] in the format of the suffix; a TIFF has the grid of its stem."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        bands = array[..., None] if array.ndim == 2 else array
        height, width, count = bands.shape
        shape = {"height": height, "width": width, "count": count, "dtype": bands.dtype}
        grid = grid or grid_of(path.stem)
        with rasterio.open(path, "w", driver="GTiff", **shape, **grid) as target:
            target.write(np.moveaxis(bands, -1, 0))
    else:
        Image.fromarray(array).save(path)
    return array


def picture(seed, height=40, width=40, bands=3, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, bands), dtype, endpoint=True)


def square(height=40, width=40, value=255):
    mask = np.zeros((height, width), np.uint8)
    mask[5:15, 10:30] = value
    return mask


def roofs(folder):
    """Write eight scenes with image and mask, without split folders; return their folder."""
    for i in range(8):
        save(folder / f"My-Roofs/image/{i}.png", picture(i))
        save(folder / f"My-Roofs/mask/{i}.png", square())
    return folder / "My-Roofs"


def run(source, *options):
    data_dir = source.parent / "shards"
    arguments = [f"--source={source}", f"--data_dir={data_dir}", "--num_workers=1"]
    return main(["folder", *arguments, "--tile_size=32", *options])


def layout_plan(source, *options):
    """Plan a build without writing it: `dataset.load` reads the scenes."""
    arguments = [f"--source={source}", f"--data_dir={source.parent}", "--num_workers=1"]
    return folder.plan(parse(["folder", *arguments, "--tile_size=16", *options]), "name")


def load(source, name="my_roofs"):
    folder = source.parent / "shards" / name / "1.0.0"
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest, tfds.builder_from_directory(folder).as_data_source()


def error(capsys):
    """Return the lines of the error, without the progress bar."""
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("data_prep: error: "))
    return [lines[start].removeprefix("data_prep: error: "), *lines[start + 1 :]]
