"""Finds the layout of a folder: the role, the scene and the split of each image file."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.basics.dataset import SPLITS
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Rejection, check_left
from data_prep.imagery.files import SUFFIXES
from data_prep.reading import label_files, layout_advice, matching, split_folders, split_lists
from data_prep.reading.matching import Candidate, Entry
from data_prep.reading.role_names import words, year_of
from data_prep.reading.role_ways import File, Given, needed
from data_prep.reading.roles import Reading, best_reading, unlabelled_entries
from data_prep.reading.tree import OTHER_SUFFIXES, every_file

_NEEDED = {"ss": "image/mask", "cd": "A/B/label"}


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
      task: ss, cd or denoise.
      description: The folders found, for the manifest.
      has_splits: Whether the source has split folders or lists.
      candidates: Scenes with all their files, by name.
      rejected: Files that belong to no complete scene.
      num_found: Number of image files whose role the task uses.
      num_unused: Number of image files whose role the task does not use.
      notes: How the files were read where the plain rule does not say it, one sentence each.
      split_source: What names the splits: split folders or lists.
    """

    task: str
    description: str
    has_splits: bool
    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    num_found: int
    num_unused: int
    notes: tuple[str, ...] = ()
    split_source: str = "the source's own split folders"


def find(source: Path, task: str, given: Given | None = None, *, use_lists: bool = True) -> Layout:
    """Find the scenes of a folder.

    Args:
      source: A folder with images and masks, pairs and masks, or images alone, with or without
        split folders, as `role_names` knows their names.
      task: ss, cd, denoise, or auto: decided by the names of folders and files.
      given: What the user says about names (--roles).
      use_lists: Whether lists such as train.txt divide the scenes.

    Returns:
      The layout. No image has been opened.

    Raises:
      UserError: The folder is missing or empty, its layout does not fit the task or is ambiguous,
        no scene is complete, or a list names unknown scenes.
    """
    if not source.is_dir():
        raise UserError(f"--source={source}: {'not a folder' if source.exists() else 'not found'}")
    given = given or Given()
    paths = sorted(every_file(source))
    images = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if not images:
        seen = sorted({path.suffix for path in paths if path.suffix})
        raise UserError(
            f"--source={source}: holds no PNG, JPEG or TIFF"
            + (f" (found {', '.join(seen)})" if seen else "")
        )
    rejected = [
        Rejection(path.relative_to(source).as_posix(), f"{path.suffix} files are not read")
        for path in paths
        if path.suffix.lower() in OTHER_SUFFIXES
    ]
    files = split_folders.find(source, images)
    has_splits = any(file.split for file in files)
    if has_splits:
        outside = [file.relative for file in files if not file.split]
        rejected += [Rejection(relative, "lies outside the split folders") for relative in outside]
        files = [file for file in files if file.split]
    scenes = _of_task(source, task, files, given, paths)
    rejected += scenes.rejected
    candidates, notes = scenes.candidates, scenes.notes
    split_source = "the source's own split folders"
    lists = split_lists.find(source, paths, [file.relative for file in files]) if use_lists else {}
    if lists and has_splits:
        notes += (f"the split folders divide the scenes; {', '.join(lists.values())} is not read",)
    elif lists:
        candidates, unlisted = split_lists.divide(source, lists, candidates, rejected)
        rejected += unlisted
        has_splits, split_source = True, f"the lists {', '.join(lists.values())}"
        if unlisted:
            notes += (f"{len(unlisted)} files are in none of the lists and are left out",)
    elif use_lists and not has_splits and (others := split_lists.unread(paths)):
        notes += (
            f"{', '.join(others)} are not read as lists of splits: train.txt, val.txt and test.txt"
            " with one name a line are",
        )
    num_found = sum(len(candidate.files) for candidate in candidates) + len(rejected)
    check_left((), [candidate.name for candidate in candidates], rejected, num_found)
    return Layout(
        scenes.task,
        scenes.description,
        has_splits,
        tuple(candidates),
        tuple(rejected),
        num_found,
        scenes.num_unused,
        notes,
        split_source,
    )


@dataclass(frozen=True)
class _Scenes:
    """The scenes of one task; for the fields see `Layout`."""

    task: str
    description: str
    candidates: Sequence[Candidate]
    rejected: Sequence[Rejection]
    notes: tuple[str, ...] = ()
    num_unused: int = 0


def _of_task(
    source: Path, task: str, files: Sequence[File], given: Given, paths: Sequence[Path]
) -> _Scenes:
    """Decide the task, if the user has not, and find its scenes."""
    tasks = [task] if task != "auto" else ["ss", "cd"]
    tasks = [name for name in tasks if name == "denoise" or given.roles <= {*needed(name)}]
    if not tasks or (given.roles and task == "denoise"):
        raise UserError(
            f"--roles={given.text}: --task={task} needs other roles: image and mask for ss; pre,"
            " post and mask for cd; none for denoise"
        )
    if task == "denoise":
        return _unlabelled(files)
    readings = [best_reading(files, name, given) for name in tasks]
    unknown = given.roles - {role for reading in readings for role in reading.found}
    if unknown:
        raise UserError(
            f"--roles={given.text}: no folder and no file name is the {min(unknown)}; found"
            f" {layout_advice.folders_in_words([file.relative for file in files])}"
        )
    fitting = [reading for reading in readings if reading.matched.candidates] or [
        reading for reading in readings if reading.found.keys() == {*needed(reading.task)}
    ]
    if len(fitting) == 1:
        return _labelled(fitting[0])
    if fitting:
        names = sorted({name for r in fitting for of in r.found.values() for name in of})
        raise UserError(
            f"--source={source}: {', '.join(names)} fit ss and cd; choose one with --task=ss"
            " (image/mask), cd (A/B/label) or denoise (images alone)"
        )
    doubt = layout_advice.doubt(files, readings, given)
    if task == "auto":
        doubt = doubt or label_files.doubt(source, paths)
    if task == "auto" and doubt is None:
        return _unlabelled(files)
    what = f"--task={task} needs {_NEEDED[task]}: " if task != "auto" else ""
    unread = [
        path.relative_to(source).as_posix()
        for path in paths
        if path.suffix.lower() in OTHER_SUFFIXES
    ]
    raise UserError(f"--source={source}: {what}{layout_advice.message(files, doubt, unread)}")


def _labelled(reading: Reading) -> _Scenes:
    wanted = needed(reading.task)
    kept = [entry for entry in reading.entries if entry.role in wanted]
    _check_folders(kept)
    _check_roles(kept, wanted)
    rejected, of_dates = [], []
    names = sorted({name for of in reading.found.values() for name in of})
    kind = "names" if any("*" in name for name in names) else "folders"
    for entry in reading.entries:
        if entry.role == "date_mask":
            of_dates.append(entry)
        elif entry.role not in wanted:
            reason = f"lies in none of the folders {', '.join(names)}"
            if kind == "names":
                reason = f"has none of the names {', '.join(names)}"
            rejected.append(Rejection(entry.relative, reason))
    notes = [reading.rule] if reading.rule else []
    years = {name for name in names if year_of(name)}
    if years and not reading.rule:
        notes.append(f"of the years {' and '.join(sorted(years))}, the earlier is pre")
    if reading.matched.num_folded:
        notes.append(
            f"the files of {reading.matched.num_folded} scene(s) have names that differ in case,"
            " in '-', '_', '.' and ' ', or in zeros before numbers"
        )
    if of_dates:
        folders = sorted({entry.role_name or "" for entry in of_dates})
        notes.append(
            f"{len(of_dates)} masks of single dates ({', '.join(folders)}) are not used: the mask"
            " of a pair shows the change"
        )
    return _Scenes(
        reading.task,
        _description(kept),
        reading.matched.candidates,
        [*rejected, *matching.with_nearest(reading.matched, kept)],
        tuple(notes),
        len(of_dates),
    )


def _unlabelled(files: Sequence[File]) -> _Scenes:
    """Take every image as a scene; masks are left out."""
    entries = unlabelled_entries(files)
    roles = {entry.role for entry in entries}
    names = sorted({e.role_name for e in entries if e.role_name and e.role != "mask"})
    # Beside folders named images, other folders hold something else.
    used = ("image", "pre", "post", *(() if roles - {None, "mask"} else (None,)))
    kept = [entry for entry in entries if entry.role in used]
    _check_folders(kept)
    rejected = [
        Rejection(entry.relative, f"lies in none of the folders {', '.join(names)}")
        for entry in entries
        if entry.role is None and entry not in kept
    ]
    matched = matching.by_file(kept)
    num_unused = sum(entry.role == "mask" for entry in entries)
    return _Scenes(
        "denoise",
        _description(kept),
        matched.candidates,
        [*rejected, *matched.unmatched],
        (f"{num_unused} mask files are not used: denoise needs none",) if num_unused else (),
        num_unused,
    )


def _check_folders(entries: Sequence[Entry]) -> None:
    """Refuse two folders for one role of a split."""
    found: dict[tuple[str | None, tuple[str, ...], str], set[str]] = defaultdict(set)
    for entry in entries:
        # Ends of file names may differ within a folder: area_1.png beside area_2_mask.png.
        folder = re.sub(r"(^|/)[^/]*\*[^/]*$", "", entry.role_name or "")
        if entry.role and folder:
            found[entry.split, entry.group, entry.role].add(folder)
    for (split, _, role), folders in found.items():
        # label beside label_512: the plain name is meant; scenes that both hold are rejected.
        plain = [name for name in folders if len(words(name.rsplit("/", 1)[-1])) == 1]
        if len(folders) > 1 and len(plain) != 1:
            where = f" of {split}" if split else ""
            names = sorted(folders)
            raise UserError(
                f"folders {' and '.join(names)}{where} both hold the {role} files; choose one:"
                f" --roles={role}={names[0]}"
            )


def _check_roles(entries: Sequence[Entry], wanted: tuple[str, ...]) -> None:
    by_split: dict[str | None, dict[str | None, str | None]] = defaultdict(dict)
    for entry in entries:
        by_split[entry.split][entry.role] = entry.role_name
    for split, found in by_split.items():
        for role in wanted:
            if role not in found:
                names = ", ".join(sorted(str(folder) for folder in found.values()))
                raise UserError(f"{split or 'the source'} has no {role} files, only {names}")


def _description(entries: Sequence[Entry]) -> str:
    found = {entry.split for entry in entries if entry.split}
    split_names = ",".join(name for name in SPLITS if name in found)
    names = ",".join(sorted({entry.role_name for entry in entries if entry.role_name}))
    parts = [f"{{{split_names}}}"] if split_names else []
    parts += [f"{{{names}}}"] if names else ["images"]
    return "/".join(parts)
