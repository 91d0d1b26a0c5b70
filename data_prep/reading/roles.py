"""Ways to read the role of each file of a folder, and the choice of the one that fits (pure)."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.basics.dataset import TASKS
from data_prep.basics.errors import UserError
from data_prep.reading import matching
from data_prep.reading.matching import Entry, Matched
from data_prep.reading.role_names import SEPARATORS, Names, fold, nfc, number_of, year_of

_MOST_WORDS = 4  # Of an end of a file name that stands for a role.
_SEPARATOR = re.compile(f"([{re.escape(SEPARATORS)}]+)")


@dataclass(frozen=True)
class File:
    """An image file whose role is not yet known.

    Attributes:
      path: Path of the file.
      relative: The path relative to the source.
      split: The split that a folder names; None if none does.
      folders: Its folders below the source in NFC, without one that names a split and nothing else.
      stem: Its name without suffix, in NFC.
    """

    path: Path
    relative: str
    split: str | None
    folders: tuple[str, ...]
    stem: str


@dataclass(frozen=True)
class Given:
    """The option --roles.

    Attributes:
      text: The option as it was given.
      names: Name of a folder, or of an end of file names -> role.
      patterns: (role, pattern of file names with one *).
    """

    text: str = ""
    names: tuple[tuple[str, str], ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()

    @property
    def roles(self) -> frozenset[str]:
        """All roles that the option gives."""
        return frozenset([role for _, role in self.names] + [role for role, _ in self.patterns])


@dataclass(frozen=True)
class Reading:
    """The files as one way reads them.

    Attributes:
      task: ss or cd.
      rule: How the roles were found, as a note; empty for the plain way, a folder for each role.
      entries: All files.
      matched: The scenes of those files that have a role of the task.
    """

    task: str
    rule: str
    entries: tuple[Entry, ...]
    matched: Matched

    @property
    def found(self) -> dict[str, list[str]]:
        """Role of the task -> the names that stand for it, in order."""
        names: dict[str, set[str]] = {role: set() for role in needed(self.task)}
        for entry in self.entries:
            if entry.role in names and entry.role_name:
                names[entry.role].add(entry.role_name)
        return {role: sorted(of) for role, of in names.items() if of}


_Affix = tuple[str, str, str]  # Role, name such as *_mask, and what is left of the stem.


def needed(task: str) -> tuple[str, ...]:
    """Return the roles of each scene of a task."""
    return (*TASKS[task], "mask")


def parse_given(text: str) -> Given:
    """Parse --roles: pre=t_one,post=t_two,mask=*_truth.

    Raises:
      UserError: A role is unknown or named twice, or a name is empty or holds more than one *.
    """
    names, patterns = [], []
    for part in text.split(","):
        role, _, name = (piece.strip() for piece in part.partition("="))
        if role not in ("image", "pre", "post", "mask") or not name.strip("*" + SEPARATORS):
            raise UserError(
                f"--roles={text}: {part!r} is not ROLE=NAME with a role of image, pre, post and mask"
                " and the name of a folder, or of files (*_truth)"
            )
        if name.count("*") > 1 or "/" in name:
            raise UserError(f"--roles={text}: {name!r} must be one name with at most one *")
        if role in [r for _, r in names] + [r for r, _ in patterns]:
            raise UserError(f"--roles={text}: {role} is named twice")
        if "*" in name:
            patterns.append((role, nfc(name)))
        else:
            names.append((fold(name), role))
    if len(dict(names)) < len(names):
        raise UserError(f"--roles={text}: one name has two roles")
    return Given(text, tuple(names), tuple(patterns))


def best_reading(files: Sequence[File], task: str, given: Given) -> Reading:
    """Read the files in every way and keep the one that makes most scenes, the plainest of equals.

    Args:
      files: All image files.
      task: ss or cd.
      given: What the user says about names.

    Raises:
      UserError: Two ways to read the ends of names make equally many scenes, but not the same.
    """
    names = _names(files, task, given)
    best: Reading | None = None
    for rule, read in _WAYS:
        entries = []
        for file in files:
            role, name, key = _by_pattern(file, given, names) or read(file, names)
            group = _group(file, name, key)
            entries.append(Entry(file.path, file.relative, file.split, role, name, key, group))
        kept = [entry for entry in entries if entry.role in needed(task)]
        matched = matching.by_key(_without_common(kept), needed(task))
        reading = Reading(task, rule, tuple(entries), matched)
        if best is None or len(matched.candidates) > len(best.matched.candidates):
            best = reading
        elif len(matched.candidates) == len(best.matched.candidates) and _contradict(best, reading):
            raise UserError(
                f"names can be read in two ways: {_in_words(best)}; or {_in_words(reading)}; say"
                " which by --roles, such as --roles=mask=*_mask"
            )
        if len(best.matched.candidates) * len(needed(task)) == len(files):
            break
    assert best is not None
    return replace(best, rule=_in_words(best) if best.rule else "")


def unlabelled_entries(files: Sequence[File]) -> list[Entry]:
    """Read files for a task without masks: where a folder or a whole scene says so, roles are set.

    A folder names an image role only if nothing but folders of all files lies above it; the name of
    a class may be deeper.
    """
    readings = [best_reading(files, task, Given()) for task in ("ss", "cd")]
    masks = {
        entry.path
        for reading in readings
        if reading.matched.candidates
        for entry in reading.entries
        if entry.role in ("mask", "date_mask")
    }
    both = [_names(files, task, Given()) for task in ("ss", "cd")]
    common = os.path.commonprefix([file.folders for file in files])
    entries = []
    for file in files:
        found = [
            (role, folder)
            for folder in file.folders[: len(common) + 1]
            for names in both
            if (role := names.of_folder(folder)) is not None
        ]
        role, folder = next(iter(found), (None, None))
        if file.path in masks or role == "date_mask":
            role, folder = "mask", folder
        key = tuple(part for part in (*file.folders, file.stem))
        if folder in file.folders:
            index = file.folders.index(folder)
            key = (*file.folders[:index], *file.folders[index + 1 :], file.stem)
        group = _group(file, folder, key)
        entries.append(Entry(file.path, file.relative, file.split, role, folder, key, group))
    return entries


def ends_of_names(
    files: Sequence[File], given: Given
) -> list[tuple[File, str, str, tuple[str, ...]]]:
    """Return (file, role, what names it, key) of files whose names end or begin with a role."""
    names = _names(files, "cd", given)
    found = []
    for file in files:
        for at_end in (True, False):
            one = next(_affixes(file.stem, names, at_end, longest=True), None)
            if one is not None:
                role, label, rest = one
                found.append((file, role, label, (*file.folders, rest)))
                break
    return found


def _contradict(first: Reading, second: Reading) -> bool:
    """Whether two ways by the ends of names find different scenes."""
    if not first.matched.candidates or not first.rule.startswith("by name"):
        return False
    files = [{tuple(c.files.items()) for c in r.matched.candidates} for r in (first, second)]
    return files[0] != files[1]


def _in_words(reading: Reading) -> str:
    named = [f"{' and '.join(names)} is {role}" for role, names in reading.found.items()]
    return f"roles {reading.rule or 'by folder'}: {', '.join(named)}"


def _names(files: Sequence[File], task: str, given: Given) -> Names:
    """Find out which numbers and years tell two dates apart in this folder."""
    folders = {folder for file in files for folder in file.folders}
    # In a folder of its own for each pair, the whole stem may be im1; img1 to img9 are no dates.
    last = {piece for file in files for piece in (_SEPARATOR.split(file.stem)[-1],)}
    first = {piece for file in files for piece in (_SEPARATOR.split(file.stem)[0],)}
    return Names(
        task,
        _dates(folders),
        _dates(last) | _years(first),
        dict(given.names),
        given.roles,
    )


def _dates(names: set[str]) -> dict[str, str]:
    numbers = {number for name in names if (number := number_of(name)) is not None}
    dates = {"1": "pre", "2": "post"}
    if "0" in numbers:
        dates = {"0": "pre", "1": "post"} if numbers <= {"0", "1"} else {}
    elif not numbers <= {"1", "2"}:
        dates = {}
    return dates | _years(names)


def _years(names: set[str]) -> dict[str, str]:
    years = sorted({year for name in names if (year := year_of(name)) is not None})
    return dict(zip(years, ("pre", "post"), strict=True)) if len(years) == 2 else {}


def _group(file: File, name: str | None, key: tuple[str, ...]) -> tuple[str, ...]:
    if name in file.folders:
        return file.folders[: file.folders.index(name)]
    return key[:-1]


def _without_common(entries: Sequence[Entry]) -> list[Entry]:
    """Drop the folders above all files from the names of scenes."""
    keys = [entry.key for entry in entries]
    length = 0
    while keys and all(len(k) > length + 1 and k[length] == keys[0][length] for k in keys):
        length += 1
    # A folder that divides one role alone, as images/city/1.png with masks/city/1.png, is a name.
    groups = [len(entry.group) for entry in entries]
    length = min([length, *groups])
    return [replace(entry, key=entry.key[length:]) for entry in entries] if length else [*entries]


# Each way returns role, name of the role, and key.
_Read = Callable[[File, Names], tuple[str | None, str | None, tuple[str, ...]]]


def _by_first_folder(file: File, names: Names) -> tuple[str | None, str | None, tuple[str, ...]]:
    roles = (*needed(names.task), "date_mask")
    for index, folder in enumerate(file.folders):
        role = names.of_folder(folder)
        if role in roles:
            rest = file.folders[:index] + file.folders[index + 1 :]
            return role, folder, (*rest, file.stem)
    return None, None, (*file.folders, file.stem)


def _by_all_folders(file: File, names: Names) -> tuple[str | None, str | None, tuple[str, ...]]:
    """2012/image and change/label: all folders together name the role."""
    rest = tuple(folder for folder in file.folders if not names.is_known(folder))
    own = [folder for folder in file.folders if names.is_known(folder)]
    # A name that the user gives decides alone.
    given = [folder for folder in own if fold(folder) in names.given]
    role = names.of_folder(given[0]) if given else names.of_folder(" ".join(own)) if own else None
    if role is None:
        found = {names.of_folder(folder) for folder in own} & {*needed(names.task)}
        role = found.pop() if len(found) == 1 else None
    return role, "/".join(own) or None, (*rest, file.stem)


def _by_folder_and_affix(longest: bool) -> _Read:
    def read(file: File, names: Names) -> tuple[str | None, str | None, tuple[str, ...]]:
        role, name, key = _by_all_folders(file, names)
        for at_end in (True, False):
            for affix_role, label, rest in _affixes(file.stem, names, at_end, longest):
                if rest and affix_role == role:
                    return role, f"{name}/{label}", (*key[:-1], rest)
        return role, name, key

    return read


def _by_affix(at_end: bool, longest: bool) -> _Read:
    def read(file: File, names: Names) -> tuple[str | None, str | None, tuple[str, ...]]:
        role, name, key = _by_all_folders(file, names)
        for affix_role, label, rest in _affixes(file.stem, names, at_end, longest):
            if affix_role in (*needed(names.task), "date_mask") and (rest or len(key) > 1):
                return affix_role, label, (*key[:-1], *([rest] if rest else []))
        if role in (*needed(names.task), "date_mask"):
            return role, name, key
        # Beside x_mask.png, x.png is the image.
        is_image = names.task == "ss" and "image" not in names.masked
        return ("image", "*", key) if is_image else (None, None, key)

    return read


def _affixes(stem: str, names: Names, at_end: bool, longest: bool) -> Iterator[_Affix]:
    """Yield the ends of a stem that name a role, with what is left of the stem."""
    pieces = _SEPARATOR.split(stem)
    found: list[_Affix] = []
    for count in range(1, min(_MOST_WORDS, (len(pieces) + 1) // 2) + 1):
        size = 2 * count - 1  # Pieces with the separators between them.
        part = "".join(pieces[-size:] if at_end else pieces[:size])
        border = "".join(pieces[-size - 1 : -size] if at_end else pieces[size : size + 1])
        rest = "".join(pieces[: -size - 1] if at_end else pieces[size + 1 :])
        role = names.of_affix(part)
        if role is not None:
            found.append((role, f"*{border}{part}" if at_end else f"{part}{border}*", rest))
    if not at_end and not found and (glued := re.match(r"([^\W\d_]+)(?=\d)", stem)):
        role = names.of_affix(glued[1])  # img12 with mask12.
        if role is not None:
            found.append((role, f"{glued[1]}*", stem[glued.end() :]))
    yield from reversed(found) if longest else found


def _by_pattern(
    file: File, given: Given, names: Names
) -> tuple[str, str, tuple[str, ...]] | None:
    for role, pattern in given.patterns:
        if role not in needed(names.task):
            continue
        start, end = (re.escape(fold_separators(part)) for part in pattern.split("*"))
        match = re.fullmatch(f"{start}(.+){end}", fold_separators(file.stem), re.IGNORECASE)
        if match:
            rest = file.stem[match.start(1) : match.end(1)]
            folders = (folder for folder in file.folders if not names.is_known(folder))
            return role, pattern, (*folders, rest)
    return None


def fold_separators(text: str) -> str:
    """Write all separators as _; the length stays."""
    return re.sub(f"[{re.escape(SEPARATORS)}]", "_", text)


_WAYS: tuple[tuple[str, _Read], ...] = (
    ("", _by_first_folder),
    ("by all folders of a path", _by_all_folders),
    ("by folder, names without affixes", _by_folder_and_affix(longest=True)),
    ("by folder, names without short affixes", _by_folder_and_affix(longest=False)),
    ("by name", _by_affix(at_end=True, longest=True)),
    ("by name", _by_affix(at_end=False, longest=True)),
    ("by name", _by_affix(at_end=True, longest=False)),
    ("by name", _by_affix(at_end=False, longest=False)),
)
