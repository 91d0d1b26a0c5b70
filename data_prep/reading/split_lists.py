"""Reads lists that divide scenes among splits: train.txt, val.txt and test.txt."""

import codecs
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from data_prep.basics.dataset import SPLITS
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Rejection
from data_prep.reading.matching import Candidate
from data_prep.reading.role_names import fold, names_split_alone, split_of

_FOLDERS = {"list", "lists", "split", "splits", "imagesets", "segmentation", "main", "filelists"}
_SUFFIXES = (".txt", ".lst", ".csv")
_OTHER_SUFFIXES = (".json", ".yaml", ".yml", ".xml", ".xlsx", ".npy", ".pkl", ".mat", ".parquet")
_MOST_SHOWN = 3


def find(source: Path, paths: Iterable[Path], images: Sequence[str]) -> dict[str, str]:
    """Find the lists that lie beside the folders of images, or in a folder such as list.

    Args:
      source: The folder of the dataset.
      paths: All files in it.
      images: Paths of its images, relative to it.

    Returns:
      Split -> path of its list, relative to the source, in the order of the splits; empty without a
      list for train.

    Raises:
      UserError: Two lists name one split.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        relative = path.relative_to(source)
        folders = [part for part in relative.parts[:-1] if fold(part) not in _FOLDERS]
        above = "".join(f"{folder}/" for folder in folders)
        if path.suffix.lower() in _SUFFIXES and all(image.startswith(above) for image in images):
            split = split_of(path.stem)
            if split and names_split_alone(path.stem):
                found[split].append(relative.as_posix())
    for split, lists in found.items():
        if len(lists) > 1:
            raise UserError(
                f"--source={source}: {' and '.join(sorted(lists))} both list the {split} split;"
                " remove all but one"
            )
    return {split: found[split][0] for split in SPLITS if split in found} if found["train"] else {}


def unread(paths: Iterable[Path]) -> list[str]:
    """Return the names of files that seem to list a split, but are of a kind that is not read."""
    return sorted(
        path.name
        for path in paths
        if path.suffix.lower() in _OTHER_SUFFIXES and names_split_alone(path.stem)
    )


def divide(
    source: Path,
    lists: Mapping[str, str],
    candidates: Sequence[Candidate],
    rejected: Sequence[Rejection],
) -> tuple[tuple[Candidate, ...], list[Rejection]]:
    """Give each scene the split of the list that names it.

    Args:
      source: The folder of the dataset.
      lists: Split -> path of its list.
      candidates: The scenes.
      rejected: Files that are no scene: a list may name them.

    Returns:
      The scenes that a list names, and the files of the others.

    Raises:
      UserError: A list cannot be read or names no scene that is there, a name means several scenes,
        a line names files of several scenes, or two lists name one scene.
    """
    scenes = _by_name(source, candidates, rejected)
    split_of_scene: dict[str, str] = {}
    for split, name in lists.items():
        unknown: list[str] = []
        num_lines = 0
        for line in _lines(source / name):
            found = _scenes_of(line, scenes)
            if not found and not num_lines and name.lower().endswith(".csv"):
                continue  # The names of columns.
            num_lines += 1
            if not found:
                unknown.append(line)
            elif len(found) > 1:
                raise UserError(
                    f"{name}: {line!r} names several scenes ({', '.join(sorted(found)[:3])});"
                    " write the path of one file"
                )
            elif (other := split_of_scene.setdefault(min(found), split)) != split:
                raise UserError(f"{name}: {line!r} is also in {lists[other]}")
        if unknown:
            shown = ", ".join(unknown[:_MOST_SHOWN]) + (", ..." if len(unknown) > 3 else "")
            first = candidates[0].name if candidates else "none"
            raise UserError(
                f"{name}: {len(unknown)} of {num_lines} names are no files here: {shown}; names"
                f" here are such as {first}"
            )
    listed, unlisted = [], []
    for candidate in candidates:
        if (of := split_of_scene.get(candidate.name)) is not None:
            listed.append(replace(candidate, split=of, site=f"{of}/{candidate.name}"))
        else:
            unlisted += [
                Rejection(
                    path.relative_to(source).as_posix(),
                    f"is in none of the lists {', '.join(lists.values())}",
                    is_cause=False,
                )
                for path in candidate.files.values()
            ]
    return tuple(listed), unlisted


def _by_name(
    source: Path, candidates: Sequence[Candidate], rejected: Sequence[Rejection]
) -> dict[str, set[str]]:
    """Map every way to name a scene or one of its files to the scenes; folded, without suffix."""
    scenes: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        paths = [path.relative_to(source) for path in candidate.files.values()]
        names = [candidate.name, *(path.with_suffix("").as_posix() for path in paths)]
        for name in names:
            for tail in _tails(name):
                scenes[tail].add(candidate.name)
    for rejection in rejected:
        for tail in _tails(PurePosixPath(rejection.path).with_suffix("").as_posix()):
            scenes.setdefault(tail, {rejection.path})
    return scenes


def _tails(name: str) -> Iterator[str]:
    """Yield a path and the paths that leave out its first folders, folded."""
    parts = [fold(part) for part in PurePosixPath(name).parts]
    yield from ("/".join(parts[start:]) for start in range(len(parts)))


def _scenes_of(line: str, scenes: Mapping[str, set[str]]) -> set[str]:
    """Return the scenes that a line names: by each of its columns, or by all of it."""
    line = re.sub(r"^['\"]|['\"]$|\"", "", line).replace("\\", "/")
    columns = [_lookup(column, scenes) for column in line.replace(",", " ").split()]
    if not all(columns):
        columns = [_lookup(column.strip(), scenes) for column in line.split(",")]
    if not all(columns):
        return _lookup(line, scenes)  # A name may hold spaces.
    found = columns[0]
    for of_column in columns[1:]:
        # Another column may tell which of several scenes is meant.
        found = found & of_column or found | of_column
    return found


def _lookup(text: str, scenes: Mapping[str, set[str]]) -> set[str]:
    # In a.b the b may be a suffix, or not.
    for name in (PurePosixPath(text), PurePosixPath(text).with_suffix("")):
        for tail in _tails(name.as_posix()):
            if tail in scenes:
                return scenes[tail]
    return set()


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of names in UTF-8 ({error})") from error
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]
