"""Writes a small generated WHU Building: tiles for segmentation, mosaics and crops for change.

It has five sources, each a subfolder with the folder and file names of its owner:

- `3. The cropped image tiles and raster labels`: {train,val,test}/{image,label}, labels 0/255.
- `Building change detection dataset`: the whole mosaics before.tif and after.tif with world files,
  their buildings, and the change label with one bit a pixel.
- `Building change detection dataset_add`: the same mosaics in a train and a test part that share
  one column (like the owner's: 21243 + 11265 columns of 32507), change labels of 0/1, and crops of
  one date with building masks, which are no change labels.
- `WHU` and `whu-cd`: the layouts of the paper's authors, {train,test}/{Image,Mask} and
  {train,test}/{A,B,OUT}, labels 0/255.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_prep.basics.tiles import cut, offsets
from data_prep.drawing import scenes

TILES = "3. The cropped image tiles and raster labels"
WHOLE = "Building change detection dataset"
PARTS = "Building change detection dataset_add"
AUTHORS_TILES = "WHU"
AUTHORS_CROPS = "whu-cd"
NUM_TILES = {"train": 6, "val": 2, "test": 3}  # The owner has 4736, 1036 and 2416.
_IMAGES = "1. The two-period image data"
_GRID = (2, 4)  # Rows and columns of drawn squares of ground.


class Mosaics(NamedTuple):
    """The ground of change detection; its sizes are no multiples of a tile's.

    Attributes:
      pre: [H, W, 3] uint8.
      post: [H, W, 3] uint8.
      change: [H, W] uint8, 1 = changed.
      test_column: First column of the test part.
    """

    pre: np.ndarray
    post: np.ndarray
    change: np.ndarray
    test_column: int


def tiles(*, seed: int, size: int) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Draw the tiles of segmentation.

    Returns:
      (split, name) -> image [size, size, 3] uint8 and mask [size, size] uint8, 1 = building.
    """
    drawn = {}
    for place, (split, number) in enumerate(NUM_TILES.items()):
        for index in range(number):
            rng = np.random.default_rng([seed, place, index])
            image, mask = scenes.segmentation_scene(rng, size)
            drawn[split, str(index)] = image, mask[..., 0]
    return drawn


def mosaics(*, seed: int, size: int) -> Mosaics:
    """Draw the two mosaics and their change, about 2 x 4 times `size` pixels."""
    rows = []
    for row in range(_GRID[0]):
        squares = [
            scenes.change_scene(np.random.default_rng([seed, 3, row, column]), size)
            for column in range(_GRID[1])
        ]
        rows.append([np.concatenate(images, axis=1) for images in zip(*squares, strict=True)])
    whole = (np.concatenate(images, axis=0) for images in zip(*rows, strict=True))
    margin = size // 5 + 1
    pre, post, change = (image[: -margin // 2, :-margin] for image in whole)
    return Mosaics(pre, post, change[..., 0], round(pre.shape[1] * 21242 / 32507))


def write(output: Path, *, seed: int, size: int) -> None:
    """Write the five sources.

    Args:
      output: An empty folder.
      seed: Seed of all scenes.
      size: Side of the tiles in pixels; the mosaics are about 2 x 4 times as large.
    """
    for (split, name), (image, mask) in tiles(seed=seed, size=size).items():
        _save(output / TILES / split / "image" / f"{name}.tif", image)
        _save(output / TILES / split / "label" / f"{name}.tif", mask * 255)
        split, name = ("train", f"val_{name}") if split == "val" else (split, name)
        _save(output / AUTHORS_TILES / split / "Image" / f"{name}.tif", image)
        _save(output / AUTHORS_TILES / split / "Mask" / f"{name}.tif", mask * 255)
    ground = mosaics(seed=seed, size=size)
    _write_whole(output / WHOLE / _IMAGES, ground)
    _write_parts(output / PARTS / _IMAGES, ground, size)
    _write_crops(output / AUTHORS_CROPS, ground, size // 2)


def _write_whole(folder: Path, ground: Mosaics) -> None:
    for date, image in (("before", ground.pre), ("after", ground.post)):
        _save(folder / date / f"{date}.tif", image)
        _save_world(folder / date / f"{date}.tfw", column=0)
        _save(folder / date / f"{date}_label.tif", _buildings(image))
    path = folder / "change label" / "change_label.tif"
    path.parent.mkdir(parents=True)
    Image.fromarray(ground.change * 255).convert("1").save(path)
    _save_world(path.with_suffix(".tfw"), column=0)


def _write_parts(folder: Path, ground: Mosaics, size: int) -> None:
    columns = {"train": (0, ground.test_column + 1), "test": (ground.test_column, None)}
    for part, (first, last) in columns.items():
        for date, whole in (("2012", ground.pre), ("2016", ground.post)):
            image = whole[:, first:last]
            year = folder / date
            _save(year / "whole_image" / part / "image" / f"{date}_{part}.tif", image)
            _save_world(year / "whole_image" / part / "image" / f"{date}_{part}.tfw", first)
            label = year / "whole_image" / part / "label" / f"{date}_{part}.tif"
            _save(label, _buildings(image))
            crop = cut(image, 0, 0, size, fill=0)
            _save(year / "splited_images" / part / "image" / "0_0.tif", crop)
            _save(year / "splited_images" / part / "label" / "0_0.tif", _buildings(crop))
        change = folder / "change_label" / part / "change_label.tif"
        _save(change, ground.change[:, first:last])


def _write_crops(folder: Path, ground: Mosaics, size: int) -> None:
    """Cut the mosaics into crops; crops that reach over the edge or the cut are left out."""
    height, width = ground.change.shape
    for row, column in offsets(height - size + 1, width - size + 1, size):
        split = "test" if column >= ground.test_column else "train"
        if column < ground.test_column < column + size:
            continue
        name = f"{row // size}_{column // size}.png"
        _save(folder / split / "A" / name, cut(ground.pre, row, column, size, fill=0))
        _save(folder / split / "B" / name, cut(ground.post, row, column, size, fill=0))
        change = ground.change[row : row + size, column : column + size]
        _save(folder / split / "OUT" / name, change * 255)


def _buildings(image: np.ndarray) -> np.ndarray:
    """Return a mask of the size of an image that differs from its change label."""
    return (image[..., 0] > 128).astype(np.uint8) * 255


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(array)).save(path)


def _save_world(path: Path, column: int) -> None:
    """Write a world file (0.2 m a pixel, centre of the first pixel), which names no CRS."""
    east = 1571000.1 + 0.2 * column
    path.write_text(f"0.2\n0.0\n0.0\n-0.2\n{east:.1f}\n5180999.9\n", encoding="ascii")
