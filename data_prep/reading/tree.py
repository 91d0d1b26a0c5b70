"""The files of a folder, and which of them are read as images."""

import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.basics.errors import UserError

# Kinds of rasters that are not read: such files are rejected by name, not silently ignored.
OTHER_SUFFIXES = (
    *(".bmp", ".gif", ".webp", ".img", ".npy", ".npz", ".mat", ".h5", ".hdf", ".nc", ".ecw"),
    *(".sid", ".heic", ".avif", ".jxl", ".ppm", ".pgm", ".pnm", ".tga", ".nitf", ".ntf"),
)


def every_file(source: Path) -> Iterator[Path]:
    """Yield the files below a folder, links followed, those of the operating system left out.

    Raises:
      UserError: A folder cannot be read.
    """
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(source, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # Following a link to a folder above would never end.
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        # Names that start with a dot are files of the operating system ("._a.png" is not a PNG).
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: {error.strerror}") from error
