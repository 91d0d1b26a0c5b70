"""Ways to read the role of a file: from its folders, from the ends of its name, or both (pure)."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.basics.dataset import TASKS
from data_prep.basics.errors import UserError
from data_prep.reading.role_names import SEPARATORS, Names, fold, nfc

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

    def option(self, **names: str) -> str:
        """Return the option --roles that adds names to those given, as one types it."""
        kept = [part for part in self.text.split(",") if part.partition("=")[0].strip() in names]
        parts = [part for part in self.text.split(",") if part and part not in kept]
        added = [f"{role}={name}" for role, name in names.items()]
        return f"--roles={shlex.quote(','.join(parts + added))}"


_Affix = tuple[str, str, str]  # Role, name such as *_mask, and what is left of the stem.


def needed(task: str) -> tuple[str, ...]:
    """Return the roles of each scene of a task."""
    return (*TASKS[task], "mask")


def parse_given(text: str) -> Given:
    """Parse --roles: pre=t_one,post=t_two,mask=*_truth.

    Raises:
      UserError: A role is unknown or named twice, or a name is empty or holds more than one *.
    """
    names: list[tuple[str, str]] = []
    patterns: list[tuple[str, str]] = []
    for part in text.split(","):
        role, _, name = (piece.strip() for piece in part.partition("="))
        if role not in ("image", "pre", "post", "mask") or not name.strip("*" + SEPARATORS):
            raise UserError(
                f"--roles={text}: {part!r} is not ROLE=NAME: a role is image, pre, post or mask, a"
                " name that of a folder, or of files (*_truth)"
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
        # Where a user names the folder of a role, its files may still end in a word for it.
        usual = replace(names, masked=frozenset()) if names.masked else names
        for at_end in (True, False):
            for affix_role, label, rest in affixes(file.stem, usual, at_end, longest):
                if rest and affix_role == role:
                    return role, f"{name}/{label}", (*key[:-1], rest)
        return role, name, key

    return read


def _by_affix(at_end: bool, longest: bool) -> _Read:
    def read(file: File, names: Names) -> tuple[str | None, str | None, tuple[str, ...]]:
        role, name, key = _by_all_folders(file, names)
        for affix_role, label, rest in affixes(file.stem, names, at_end, longest):
            if affix_role in (*needed(names.task), "date_mask"):
                # image.png with mask.png: the folder is the scene, or the source is.
                left = (*key[:-1], *([rest] if rest else [])) or ("scene",)
                return affix_role, label, left
        if role in (*needed(names.task), "date_mask"):
            return role, name, key
        # Beside x_mask.png, x.png is the image.
        is_image = names.task == "ss" and "image" not in names.masked
        return ("image", "*", key) if is_image else (None, None, key)

    return read


def cut(stem: str) -> list[str]:
    """Return the pieces of a stem, with the separators between them."""
    return _SEPARATOR.split(stem)


def affixes(stem: str, names: Names, at_end: bool, longest: bool) -> Iterator[_Affix]:
    """Yield the ends of a stem that name a role, with what is left of the stem."""
    pieces = cut(stem)
    found: list[_Affix] = []
    for count in range(1, min(_MOST_WORDS, (len(pieces) + 1) // 2) + 1):
        size = 2 * count - 1  # Pieces with the separators between them.
        part = "".join(pieces[-size:] if at_end else pieces[:size])
        border = "".join(pieces[-size - 1 : -size] if at_end else pieces[size : size + 1])
        rest = "".join(pieces[: -size - 1] if at_end else pieces[size + 1 :])
        role = names.of_affix(part)
        if role is not None:
            label = f"*{border}{part}" if at_end else f"{part}{border}*"
            found.append((role, label if border else part, rest))
    if not at_end and not found and (glued := re.match(r"([^\W\d_]+)(?=\d)", stem)):
        role = names.of_affix(glued[1])  # img12 with mask12.
        if role is not None:
            found.append((role, f"{glued[1]}*", stem[glued.end() :]))
    yield from reversed(found) if longest else found


def by_pattern(file: File, given: Given, names: Names) -> tuple[str, str, tuple[str, ...]] | None:
    """Return role, pattern and key of a file that a pattern of --roles matches, else None."""
    for role, pattern in given.patterns:
        if role not in needed(names.task):
            continue
        start, end = (re.escape(_alike(part)) for part in pattern.split("*"))
        match = re.fullmatch(f"{start}(.+){end}", _alike(file.stem), re.IGNORECASE)
        if match:
            rest = file.stem[match.start(1) : match.end(1)]
            folders = (folder for folder in file.folders if not names.is_known(folder))
            return role, pattern, (*folders, rest)
    return None


def _alike(text: str) -> str:
    """Write all separators as _; the length stays."""
    return re.sub(f"[{re.escape(SEPARATORS)}]", "_", text)


WAYS: tuple[tuple[str, _Read], ...] = (
    ("", _by_first_folder),
    ("by all folders of a path", _by_all_folders),
    ("by folder, names without affixes", _by_folder_and_affix(longest=True)),
    ("by folder, names without short affixes", _by_folder_and_affix(longest=False)),
    ("by name", _by_affix(at_end=True, longest=True)),
    ("by name", _by_affix(at_end=False, longest=True)),
    ("by short ends of names", _by_affix(at_end=True, longest=False)),
    ("by short ends of names", _by_affix(at_end=False, longest=False)),
)
