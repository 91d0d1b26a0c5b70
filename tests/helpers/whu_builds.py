"""Builds of `data_prep whu` in tests: runs the command, loads the result, compares it."""

import json
import shutil

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.__main__ import main
from data_prep.miniatures import whu as miniature

SIZE = 64
IMAGES = "1. The two-period image data"


def written(folder):
    """Write the miniature."""
    miniature.write(folder, seed=5, size=SIZE)
    return folder


def copier(source, folder):
    """Return a function that copies a part of the miniature, so that the copy can be damaged."""
    return lambda name: shutil.copytree(source / name, folder / name)


def run(source, data_dir, *options, task="cd", num_workers=1):
    defaults = [f"--task={task}", f"--source={source}", f"--data_dir={data_dir}"]
    if not any(option.startswith("--tile_size") for option in options):
        defaults.append("--tile_size=32")
    return main(["whu", *defaults, f"--num_workers={num_workers}", *options])


def load(data_dir, name="whu_cd"):
    folder = data_dir / name / "1.0.0"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["used"] + len(manifest["rejected"]) == manifest["found"]
    data = tfds.builder_from_directory(folder).as_data_source()
    records = {split: {r["id"].decode(): r for r in rs} for split, rs in data.items()}
    return manifest, records


def error(capsys):
    """Return the lines of the error, without the progress bar."""
    text = capsys.readouterr().err.split("data_prep: error: ")[1]
    return [line for line in text.splitlines() if "scenes/s]" not in line and line]


def places(records):
    """Yield (split, part, row, column in the part, record) for records of mosaics."""
    for split, of_split in records.items():
        for key, record in of_split.items():
            _, scene, tile = key.split("/")
            part, row, column = scene.split("_")
            tile_row, tile_column = (int(text[1:]) for text in tile.split("_"))
            yield split, part, int(row[1:]) + tile_row, int(column[1:]) + tile_column, record


def check_against(ground, records, first_column, ends):
    """Compare every tile with the ground, and return the split of each pixel, [H, W].

    Args:
      ground: The truth.
      records: The records of all splits.
      first_column: Part -> column of the ground where the part begins.
      ends: (split, part) -> column of the part where the area of the split ends.
    """
    height, width = ground.change.shape
    owner = np.full((height, width), "", object)
    for split, part, row, column, record in places(records):
        size = len(record["mask"])
        valid_columns = min(size, ends[split, part] - column)
        valid_rows = min(size, height - row)
        left = column + first_column[part]
        rows, columns = slice(row, row + valid_rows), slice(left, left + valid_columns)
        inside = (slice(0, valid_rows), slice(0, valid_columns))
        np.testing.assert_array_equal(record["mask"][inside][..., 0], ground.change[rows, columns])
        outside = np.ones((size, size), bool)
        outside[inside] = False
        assert (record["mask"][outside] == 255).all()
        # Beyond its end an area is mirrored: nothing of the next split is seen there.
        end = first_column[part] + ends[split, part]
        seen = np.ix_(_mirrored(row, size, height), _mirrored(left, size, end))
        np.testing.assert_array_equal(record["pre"], ground.pre[seen])
        np.testing.assert_array_equal(record["post"], ground.post[seen])
        assert bool(record["has_change"]) == bool(ground.change[rows, columns].any())
        assert (owner[rows, columns] == "").all()  # No pixel is in two tiles.
        owner[rows, columns] = split
    return owner


def _mirrored(first, size, end):
    """The numbers from `first`, which turn back before `end`."""
    numbers = np.arange(first, first + size)
    return np.where(numbers < end, numbers, 2 * (end - 1) - numbers)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
