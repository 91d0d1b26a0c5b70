"""The files that a dataset was built from: found again in a folder, and compared with it."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from data_prep.shards import checksums

# Files whose content is compared where nobody asked for all: another dataset differs in each.
_NUM_SAMPLES = 16


def root(source: Path, first: str) -> Path:
    """Find what the manifest's paths are relative to.

    Args:
      source: The folder that the user names.
      first: One of the paths.

    Returns:
      The source, its parent, or a folder in it; the source where none holds the file.
    """
    below = (path for path in sorted(source.rglob("*")) if path.is_dir())
    places = itertools.chain((source, source.parent), below)
    return next((place for place in places if (place / first).is_file()), source)


def difference(source: Path, digests: Mapping[str, str], sizes: Mapping[str, int]) -> str | None:
    """Tell how a folder differs from the files that a dataset was built from.

    Names and sizes of all of them are compared, and the content of some: `verify --source` reads
    them all. Files that came later are not looked for.

    Args:
      source: The folder.
      digests: File, as in the manifest -> SHA-256.
      sizes: File -> bytes.

    Returns:
      The first difference as a clause; None where there is none.
    """
    names = sorted(digests)
    if not names:
        return None
    folder = root(source, names[0])
    for name in names:
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return f"{name} is not in it"
        if size != sizes.get(name, size):
            return f"{name} has {size} bytes in it and had {sizes[name]}"
    for name in names[:: max(1, len(names) // _NUM_SAMPLES)]:
        if (digest := checksums.of_file(folder / name)) != digests[name]:
            return f"{name} has the SHA-256 {digest} in it and had {digests[name]}"
    return None
