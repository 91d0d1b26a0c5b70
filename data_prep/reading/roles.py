"""Reads the role of each file of a folder in the way that fits best (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from data_prep.basics.errors import UserError
from data_prep.reading import matching
from data_prep.reading.matching import Entry, Matched
from data_prep.reading.role_names import TIMES, Names, common_folders, number_of, words, year_of
from data_prep.reading.role_ways import WAYS, File, Given, affixes, by_pattern, cut, needed


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
    for rule, read in WAYS:
        entries = []
        for file in files:
            role, name, key = by_pattern(file, given, names) or read(file, names)
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
                " which by --roles, such as --roles='mask=*_mask'"
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
    common = common_folders([file.folders for file in files])
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
            role = "mask"
        key = (*file.folders, file.stem)
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
            one = next(affixes(file.stem, names, at_end, longest=True), None)
            if one is not None:
                role, label, rest = one
                found.append((file, role, label, (*file.folders, rest)))
                break
    return found


def _contradict(first: Reading, second: Reading) -> bool:
    """Whether two ways by the ends of names find different scenes."""
    if not first.matched.candidates or first.rule != second.rule:
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
    last = {cut(file.stem)[-1] for file in files}
    first = {cut(file.stem)[0] for file in files}
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
    elif not numbers <= {"1", "2"} or (len(numbers) == 1 and not any(map(_is_time, names))):
        dates = {}  # 2_Ortho_RGB alone is no second date.
    return dates | _years(names)


def _is_time(name: str) -> bool:
    return bool(TIMES & set(words(name))) and number_of(name) is not None


def _years(names: set[str]) -> dict[str, str]:
    years = sorted({year for name in names if (year := year_of(name)) is not None})
    return dict(zip(years, ("pre", "post"), strict=True)) if len(years) == 2 else {}


def _group(file: File, name: str | None, key: tuple[str, ...]) -> tuple[str, ...]:
    if name in file.folders:
        return file.folders[: file.folders.index(name)]
    return key[:-1]


def _without_common(entries: Sequence[Entry]) -> list[Entry]:
    """Drop the folders above all files from the names of scenes."""
    # A folder that divides one role alone, as images/city/1.png with masks/city/1.png, is a name.
    length = min(
        [len(common_folders([entry.key[:-1] for entry in entries]))]
        + [len(entry.group) for entry in entries]
    )
    return [replace(entry, key=entry.key[length:]) for entry in entries] if length else [*entries]
