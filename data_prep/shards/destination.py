"""Checks, before any work, that a dataset can be written where it is to lie."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from data_prep.basics import tiles
from data_prep.basics.dataset import Dataset
from data_prep.basics.errors import UserError

# Bytes of shards by bytes of raw pixels: 0.62 to 0.74 were measured on aerial and satellite images.
_COMPRESSED = 0.75


def check_folder(data_dir: Path) -> None:
    """Make the folder of all datasets, and try whether a file can be made in it.

    Raises:
      UserError: It is a file, or nothing can be written there.
    """
    if (scheme := data_dir.parts[0] if data_dir.parts else "").endswith(":"):
        raise UserError(
            f"--data_dir begins with {scheme}//, but datasets are written to a local folder; build "
            "it there, and copy the folder to the bucket"
        )
    if data_dir.exists() and not data_dir.is_dir():
        raise UserError(f"--data_dir={data_dir} is a file; expected a folder of datasets")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):  # Rights alone do not tell.
            pass
    except OSError as error:
        raise UserError(f"--data_dir={data_dir} cannot be written: {error.strerror}") from error


def check_space(dataset: Dataset, data_dir: Path) -> None:
    """Compare the space that a dataset will take with what is free.

    Raises:
      UserError: There is less; the message has both numbers.
    """
    layout = dataset.format
    values = len(layout.images) * layout.num_bands * np.dtype(layout.dtype).itemsize + 1
    records = sum(tiles.count(s.height, s.width, layout.tile_size) for s in dataset.scenes)
    needed = records * layout.tile_size**2 * values * _COMPRESSED
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        side = layout.tile_size
        raise UserError(
            f"--data_dir={data_dir} has {free / 1e9:.2f} GB free, and {records} records of {side} x"
            f" {side} pixels take about {needed / 1e9:.2f} GB: make space, or choose another disk"
        )
