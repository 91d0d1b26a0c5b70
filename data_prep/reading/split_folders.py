"""Finds the split that the folders of each file name: train/images, images/train, train_images."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data_prep.basics.errors import UserError
from data_prep.reading.role_names import (
    common_folders,
    names_role,
    names_split_alone,
    nfc,
    split_of,
)
from data_prep.reading.role_ways import File


def find(source: Path, paths: Sequence[Path]) -> list[File]:
    """Read the split of each image file from its folders.

    Args:
      source: Folder that all files lie in.
      paths: The image files.

    Returns:
      The files, in order. If no file has a split, there are no split folders; else those without
      lie outside them.

    Raises:
      UserError: Some files lie in a split folder below other folders, and others in none; or two
        folders mean one split.
    """
    relatives = [path.relative_to(source) for path in paths]
    folders = [tuple(map(nfc, relative.parts[:-1])) for relative in relatives]
    found = [_first_split(parts) for parts in folders]
    inside = [index for index in found if index is not None]
    if len(inside) < len(paths) and inside:
        wrapper = len(common_folders(folders))
        deep = [
            relative
            for relative, index in zip(relatives, found, strict=True)
            if index is not None and index > wrapper
        ]
        is_rare = 2 * len(inside) < len(paths) and min(inside) > wrapper + 1
        if deep and is_rare and any(names_role(f) for parts in folders for f in parts):
            found = [None] * len(paths)  # images/town/test/a.png: deep in the name of a scene.
        elif deep:
            other = relatives[found.index(None)]
            raise UserError(
                f"{deep[0].as_posix()} lies in a split folder, {other.as_posix()} in none; move"
                " all files into split folders, or none"
            )
    _check(folders, found)
    files = []
    for path, relative, parts, index in zip(paths, relatives, folders, found, strict=True):
        split = None if index is None else split_of(parts[index])
        if index is not None and names_split_alone(parts[index]):
            parts = parts[:index] + parts[index + 1 :]
        files.append(File(path, relative.as_posix(), split, parts, nfc(relative.stem)))
    return files


def _first_split(folders: Sequence[str]) -> int | None:
    return next((i for i, folder in enumerate(folders) if split_of(folder)), None)


def _check(folders: Sequence[tuple[str, ...]], found: Sequence[int | None]) -> None:
    named: dict[tuple[tuple[str, ...], str | None], set[str]] = defaultdict(set)
    for parts, index in zip(folders, found, strict=True):
        if index is not None and names_split_alone(parts[index]):
            named[parts[:index], split_of(parts[index])].add(parts[index])
    for (_, split), names in named.items():
        if len(names) > 1:
            both = " and ".join(sorted(names))
            raise UserError(f"folders {both} both mean the {split} split; rename or move one")
