"""Finds the source files of a dataset in a folder, and compares the two."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from data_prep.shards import checksums

# Number of files whose content is compared. Two different datasets differ in every file.
_NUM_SAMPLES = 16


def root(source: Path, first: str) -> Path:
    """Find the folder that the manifest's paths are relative to.

    Args:
      source: The folder that the user names.
      first: One of the paths.

    Returns:
      The source, its parent, or a folder in it; the source if none of them holds the file.
    """
    below = (path for path in sorted(source.rglob("*")) if path.is_dir())
    places = itertools.chain((source, source.parent), below)
    return next((place for place in places if (place / first).is_file()), source)


def difference(source: Path, digests: Mapping[str, str], sizes: Mapping[str, int]) -> str | None:
    """Say how a folder differs from the files that a dataset was built from.

    Names and sizes of all files are compared, and the content of some; `verify --source` compares
    the content of all. Files added to the folder since are not noticed.

    Args:
      source: The folder.
      digests: Path of a file as in the manifest -> SHA-256.
      sizes: Path of a file -> bytes.

    Returns:
      The first difference as a clause; None if there is none.
    """
    names = sorted(digests)
    if not names:
        return None
    folder = root(source, names[0])
    for name in names:
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if size != sizes.get(name, size):
            return f"{name} has {size} bytes and had {sizes[name]}"
    for name in names[:: max(1, len(names) // _NUM_SAMPLES)]:
        if (digest := checksums.of_file(folder / name)) != digests[name]:
            return f"{name} has the SHA-256 {digest} and had {digests[name]}"
    return None
