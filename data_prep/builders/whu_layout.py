"""Finds what a folder of WHU Building holds: tiles, crops or mosaics, and the role of each file."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_prep.basics import rejection
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Rejection
from data_prep.builders.whu_areas import Part
from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import SUFFIXES, read_grid
from data_prep.imagery.grid import difference, same_grid
from data_prep.imagery.image_file import read_size
from data_prep.reading import role_names

ROLES = ("pre", "post", "mask")
_TILE_ROLES = {"ss": {"image", "mask"}, "cd": {"pre", "mask"}}
_MAX_DEPTH = 3  # Folders between the source and the split folders.
_DATES = {
    **dict.fromkeys(("2012", "before", "pre", "t1"), "pre"),
    **dict.fromkeys(("2016", "after", "post", "t2"), "post"),
}
_OF_MOSAICS = {"before", "after", "change"}  # Words in the names of the mosaics' folders.
_NUMBERED = {"1": "pre", "2": "post"}
_LABELS = {"label", "labels", "mask", "masks", "gt"}
_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_UNUSED = {
    "buildings": "masks of the buildings of one date, which change detection does not need",
    "crops": "crops of the mosaics (splited_images), which have no change labels of their own",
}


def find_root(source: Path, task: str) -> Path | None:
    """Find the folder that holds {train,val,test}/{image,label} or {A,B,OUT}, or these unsplit.

    Args:
      source: That folder, or one at most three levels above it (as in the owner's archives).
      task: ss or cd.

    Returns:
      The folder; None if there is none.

    Raises:
      UserError: There are several such folders.
    """
    level = [source]
    for _ in range(_MAX_DEPTH + 1):
        roots = [folder for folder in level if _is_root(folder, task)]
        if len(roots) > 1:
            names = ", ".join(root.relative_to(source).as_posix() for root in roots)
            raise UserError(f"--source={source}: {names} all hold tiles; choose one as --source")
        if roots:
            return roots[0]
        level = [below for folder in level for below in _folders(folder)]
    return None


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_root(folder: Path, task: str) -> bool:
    """Whether it holds folders of images and masks, inside or above split folders, or unsplit."""
    below = _folders(folder)
    in_splits = [p for s in below if role_names.names_split_alone(s.name) for p in _folders(s)]
    names = role_names.Names(task, _NUMBERED)
    folders = [
        p.name for p in (*below, *in_splits) if not _OF_MOSAICS & {*role_names.words(p.name)}
    ]
    roles = {names.of_folder(name) for name in folders}
    return roles >= _TILE_ROLES[task]


@dataclass(frozen=True)
class Found:
    """The mosaics of a source.

    Attributes:
      parts: The whole mosaics, or their train and test parts.
      rejected: Files that cannot be used, with their partners.
      num_found: Number of files of mosaics and labels, rejected files included.
      notes: Notes on files that are not used, one sentence each.
      description: Which file was taken for which role.
    """

    parts: tuple[Part, ...]
    rejected: tuple[Rejection, ...]
    num_found: int
    notes: tuple[str, ...]
    description: str


def role_of(relative: Path) -> tuple[str | None, str]:
    """Find the role of a file and the part of the mosaics that it shows by the words in its path.

    Args:
      relative: The path below the source.

    Returns:
      The role: pre, post, mask (of change), buildings or crops (both unused), or None if the path
      names no role; and the part: train, test or mosaic (the whole mosaic).
    """
    dates, part, is_label, is_change = set(), "mosaic", False, False
    for component in relative.with_suffix("").parts:
        words = set(re.findall("[a-z0-9]+", component.lower()))
        if words >= {"splited", "images"} or words >= {"split", "images"}:
            return "crops", part
        is_label |= bool(words & _LABELS)
        is_change |= words == {"change"} or ("change" in words and bool(words & _LABELS))
        dates |= {_DATES[word] for word in words & _DATES.keys()}
        dates |= {{"a": "pre", "b": "post"}[word] for word in words & {"a", "b"} if len(words) == 1}
        for word in words & _PARTS.keys():
            part = _PARTS[word]
    if is_change or (is_label and not dates):
        return "mask", part
    if is_label:
        return "buildings", part
    return (dates.pop() if len(dates) == 1 else None), part


def find(source: Path) -> Found:
    """Find the mosaics and their change labels; only headers are read.

    Args:
      source: The owner's folder, at any depth above the mosaics: either before/before.tif,
        after/after.tif and change label/change_label.tif, or {2012,2016}/whole_image/{train,test}
        and change_label/{train,test}. Other names will do if they contain the same words.

    Raises:
      UserError: A mosaic or label is missing, or there are two of it.
    """
    chosen: dict[str, dict[str, Path]] = {}
    rejected: list[Rejection] = []
    unused = dict.fromkeys(_UNUSED, 0)
    twice = ""
    for path in images(source):
        relative = path.relative_to(source)
        role, part = role_of(relative)
        if role is None:
            reason = "names neither a date (2012, before, 2016, after) nor a change label"
            rejected.append(Rejection(relative.as_posix(), reason))
        elif role in unused:
            unused[role] += 1
        elif role in chosen.setdefault(part, {}):
            twice = twice or (
                f"{chosen[part][role].relative_to(source).as_posix()} and {relative.as_posix()} may"
                f" both be the {role} file of {part}"
            )
        else:
            chosen[part][role] = path
    chosen = {part: chosen[part] for part in ("mosaic", "train", "test") if part in chosen}
    _check_complete(source, chosen)
    if twice:
        raise UserError(f"--source={source}: {twice}; choose a folder that holds one of them")
    num_found = len(ROLES) * len(chosen) + len(rejected)
    parts = []
    for name, files in chosen.items():
        ordered = {role: files[role] for role in ROLES}
        part_or_rejected = _measured(source, name, ordered)
        if isinstance(part_or_rejected, Part):
            parts.append(part_or_rejected)
        else:
            rejected += part_or_rejected
    description = "; ".join(
        f"{name}: " + ", ".join(f"{r} = {files[r].relative_to(source).as_posix()}" for r in ROLES)
        for name, files in chosen.items()
    )
    num_unused = [
        f"{number} files are {_UNUSED[kind]}" for kind, number in unused.items() if number
    ]
    return Found(
        tuple(parts),
        tuple(rejected),
        num_found,
        tuple(num_unused),
        f"mosaics read by windows; {description}",
    )


def is_one_of_each(root: Path) -> bool:
    """Return whether folders of A, B and label hold one image each: mosaics, not crops."""
    paths = images(root)
    return len({path.parent for path in paths}) == len(paths) in (len(ROLES), 2 * len(ROLES))


def images(source: Path) -> list[Path]:
    """List the image files at any depth, except hidden ones."""
    paths = [Path(folder, name) for folder, _, names in os.walk(source) for name in names]
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    )


def _check_complete(source: Path, chosen: Mapping[str, Mapping[str, Path]]) -> None:
    names = set(chosen)
    if names not in ({"mosaic"}, {"train", "test"}):
        seen = " and ".join(sorted(names)) or "no mosaics"
        raise UserError(
            f"--source={source}: found {seen}; expected the whole mosaics (before, after, change"
            " label), their train and test parts, or crops in A, B and OUT or label"
        )
    for name, files in chosen.items():
        missing = [role for role in ROLES if role not in files]
        if missing:
            there = ", ".join(files[r].relative_to(source).as_posix() for r in ROLES if r in files)
            raise UserError(
                f"--source={source}: {name} has no {' and no '.join(missing)} file, only {there}"
            )


def _measured(source: Path, name: str, files: Mapping[str, Path]) -> Part | list[Rejection]:
    sizes: dict[Path, tuple[int, int]] = {}
    reasons: dict[Path, str] = {}
    for path in files.values():
        try:
            sizes[path] = read_size(path, by_windows=True)
        except ReadError as error:
            reasons[path] = str(error)
    if not reasons and len(set(sizes.values())) > 1:
        # The file that differs from two others is at fault; if all three differ, the last two are.
        usual = max(sizes.values(), key=list(sizes.values()).count)
        fitting = next(path for path in sizes if sizes[path] == usual).relative_to(source)
        for path, (height, width) in sizes.items():
            if (height, width) != usual:
                reasons[path] = (
                    f"has {width} x {height} pixels, but {fitting.as_posix()} has {usual[1]} x"
                    f" {usual[0]}"
                )
    if not reasons:
        grids = {path: read_grid(path) for path in files.values()}
        first = files["pre"]
        for path, grid in grids.items():
            if not same_grid(grids[first], grid):
                reasons[path] = (
                    f"is not on the grid of {first.name}: {difference(grids[first], grid)}"
                )
    if not reasons:
        height, width = sizes[files["pre"]]
        return Part(name, files, height, width)
    return [*rejection.of_scene(source, files.values(), reasons)]
