"""The folder of an export: checked before the work, each file complete or not there."""

import os
import pathlib
from collections.abc import Iterable, Mapping

from noise2map_jax.errors import UserError


def check_folder(folder: pathlib.Path, names: Iterable[str], overwrite: bool) -> None:
    """Check that files can be written to a folder, before a network is exported.

    Other files of the folder are left alone.

    Args:
        folder: the folder; it is made where it is missing.
        names: names of the files.
        overwrite: whether files of an earlier export are replaced.

    Raises:
        UserError: the folder is a file or cannot be written, or it holds one of the files.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output {str(folder)!r} is not a folder; choose another name")
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UserError(
            f"output {str(folder)!r} holds {', '.join(there)} already: choose another folder, or"
            " replace it with --overwrite"
        )
    probe = folder / ".part"
    try:  # Rights alone do not tell: the file system may be read-only.
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _cannot_write(folder, error) from None


def write_files(folder: pathlib.Path, files: Mapping[str, bytes]) -> list[pathlib.Path]:
    """Write files, each completely or not at all.

    Args:
        folder: an existing folder.
        files: contents by name. The last one describes the others: it is removed first and written
            last, so that it never describes an earlier export.

    Returns:
        The files that were written.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    paths = [folder / name for name in files]
    part = None
    try:
        paths[-1].unlink(missing_ok=True)
        for path, content in zip(paths, files.values(), strict=True):
            part = path.with_name(path.name + ".part")
            part.write_bytes(content)
            os.replace(part, path)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise _cannot_write(folder, error) from None
    return paths


def _cannot_write(folder: pathlib.Path, error: OSError) -> UserError:
    return UserError(f"cannot write to {str(folder)!r}: {error.strerror}; choose another --output")
