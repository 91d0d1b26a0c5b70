"""Finds the layout of a folder: the role, the scene and the split of each image file."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.basics.dataset import SPLITS, TASKS
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Rejection
from data_prep.reading.matching import ROLE_FOLDERS, Candidate, Entry, by_file, by_stem

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
# Kinds of rasters that are not read: such files are rejected by name, not silently ignored.
OTHER_SUFFIXES = (".bmp", ".gif", ".webp", ".jp2", ".img", ".npy", ".vrt", ".hdf", ".nc", ".ecw")
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_NEEDED = {"ss": "image/mask", "cd": "A/B/label", "denoise": "images"}


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
      task: ss, cd or denoise.
      description: The folders found, for the manifest.
      has_splits: Whether the source has split folders.
      candidates: Scenes with all their files, by name.
      rejected: Files that belong to no complete scene.
      num_found: Number of image files whose role the task uses.
      num_unused: Number of image files whose role the task does not use.
    """

    task: str
    description: str
    has_splits: bool
    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    num_found: int
    num_unused: int


def find(source: Path, task: str) -> Layout:
    """Find the scenes of a folder.

    Args:
      source: A folder with {train,val,test}/{A,B,label} or {image,mask}, the same without split
        folders, or images at any depth. Names are matched without regard to case.
      task: ss, cd, denoise, or auto: decided by the names of the folders.

    Returns:
      The layout. No file has been opened.

    Raises:
      UserError: The folder is missing or empty, or its layout does not fit the task.
    """
    if not source.is_dir():
        raise UserError(f"--source={source}: {'not a folder' if source.exists() else 'not found'}")
    files = sorted(_files(source))
    entries = [_entry(source, path) for path in files if path.suffix.lower() in SUFFIXES]
    if not entries:
        seen = sorted({path.suffix for path in files if path.suffix})
        raise UserError(
            f"--source={source}: holds no PNG, JPEG or TIFF"
            + (f" (found {', '.join(seen)})" if seen else "")
        )
    rejected = [
        Rejection(path.relative_to(source).as_posix(), f"{path.suffix} files are not read")
        for path in files
        if path.suffix.lower() in OTHER_SUFFIXES
    ]
    has_splits = any(entry.split for entry in entries)
    if not has_splits:
        entries, has_splits = _splits_below_roles(entries)
    _check_folders(entries)
    task = _decide_task(source, task, entries)
    used_roles = ("image", "pre", "post", None) if task == "denoise" else (*TASKS[task], "mask")
    if task == "denoise" and {entry.role for entry in entries} != {None}:
        used_roles = used_roles[:-1]
    kept: list[Entry] = []
    num_unused = 0
    for entry in entries:
        if has_splits and entry.split is None:
            rejected.append(Rejection(entry.relative, "lies outside the split folders"))
        elif entry.role in used_roles:
            kept.append(entry)
        elif task == "denoise" and entry.role == "mask":
            num_unused += 1
        else:
            folders = sorted(
                {e.role_folder for e in entries if e.role_folder and e.role in used_roles}
            )
            rejected.append(
                Rejection(entry.relative, f"lies in none of the folders {', '.join(folders)}")
            )
    if task == "denoise":
        candidates, unmatched = by_file(kept)
    else:
        _check_roles(kept, (*TASKS[task], "mask"))
        candidates, unmatched = by_stem(kept, (*TASKS[task], "mask"))
    rejected += unmatched
    num_found = len(kept) + len(rejected) - len(unmatched)
    return Layout(
        task,
        _description(kept),
        has_splits,
        tuple(candidates),
        tuple(rejected),
        num_found,
        num_unused,
    )


def _files(source: Path) -> Iterator[Path]:
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


def _entry(source: Path, path: Path) -> Entry:
    relative = path.relative_to(source)
    parts = relative.with_suffix("").parts
    split = role_folder = None
    if len(parts) > 1 and parts[0].lower() in SPLIT_FOLDERS:
        split, parts = SPLIT_FOLDERS[parts[0].lower()], parts[1:]
    if len(parts) > 1 and parts[0].lower() in ROLE_FOLDERS:
        role_folder, parts = parts[0], parts[1:]
    return Entry(path, relative.as_posix(), split, role_folder, parts)


def _splits_below_roles(entries: list[Entry]) -> tuple[list[Entry], bool]:
    """Read images/train/a.png as train/images/a.png."""
    nested = [
        entry for entry in entries if len(entry.key) > 1 and entry.key[0].lower() in SPLIT_FOLDERS
    ]
    if not nested:
        return entries, False
    if len(nested) < len(entries):
        other = next(entry for entry in entries if entry not in nested)
        raise UserError(f"{nested[0].relative} lies in a split folder, {other.relative} in none")
    moved = [
        Entry(e.path, e.relative, SPLIT_FOLDERS[e.key[0].lower()], e.role_folder, e.key[1:])
        for e in entries
    ]
    return moved, True


def _check_folders(entries: list[Entry]) -> None:
    """Refuse two folders for one split, or for one role of a split."""
    split_folders: dict[str, set[str]] = defaultdict(set)
    role_folders: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for entry in entries:
        if entry.split:
            folder = next(p for p in entry.relative.split("/") if p.lower() in SPLIT_FOLDERS)
            split_folders[entry.split].add(folder)
        if entry.role and entry.role_folder:
            role_folders[entry.split, entry.role].add(entry.role_folder)
    for split, folders in split_folders.items():
        if len(folders) > 1:
            raise UserError(f"folders {' and '.join(sorted(folders))} both mean the {split} split")
    for (split_name, role), folders in role_folders.items():
        if len(folders) > 1:
            where = f" of {split_name}" if split_name else ""
            names = " and ".join(sorted(folders))
            raise UserError(f"folders {names}{where} both hold the {role} files")


def _decide_task(source: Path, task: str, entries: list[Entry]) -> str:
    roles = {entry.role for entry in entries} - {None}
    folders = ", ".join(sorted({entry.role_folder for entry in entries if entry.role_folder}))
    fitting = [name for name in ("ss", "cd") if roles >= {*TASKS[name], "mask"}] or (
        ["denoise"] if roles <= {"image"} else []
    )
    if task == "auto":
        if len(fitting) != 1:
            raise UserError(
                f"--source={source}: folders {folders} fit {' and '.join(fitting) or 'no task'};"
                " choose one with --task=ss (image/mask), cd (A/B/label) or denoise (images alone)"
            )
        task = fitting[0]
    elif task != "denoise" and task not in fitting:
        raise UserError(
            f"--source={source}: --task={task} needs folders {_NEEDED[task]}, found"
            f" {folders or 'none of these'}"
        )
    if task == "denoise" and not roles:
        for entry in entries:
            for folder in entry.key[:-1]:
                known = ROLE_FOLDERS.get(folder.lower()) == "mask"
                if known or folder.lower() in SPLIT_FOLDERS:
                    raise UserError(
                        f"{entry.relative}: the folder {folder} lies too deep; --source must be the"
                        " folder that holds the split folders, or image and mask"
                    )
    return task


def _check_roles(entries: list[Entry], roles: tuple[str, ...]) -> None:
    by_split: dict[str | None, dict[str | None, str | None]] = defaultdict(dict)
    for entry in entries:
        by_split[entry.split][entry.role] = entry.role_folder
    for split, found in by_split.items():
        for role in roles:
            if role not in found:
                names = ", ".join(sorted(str(folder) for folder in found.values()))
                raise UserError(f"{split or 'the source'} has no {role} files, only {names}")


def _description(entries: list[Entry]) -> str:
    found = {entry.split for entry in entries if entry.split}
    split_names = ",".join(name for name in SPLITS if name in found)
    folders = ",".join(sorted({entry.role_folder for entry in entries if entry.role_folder}))
    parts = [f"{{{split_names}}}"] if split_names else []
    parts += [f"{{{folders}}}"] if folders else ["images"]
    return "/".join(parts)
