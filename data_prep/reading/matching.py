"""Matches image files to scenes: which files belong together (pure)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_prep.basics.rejection import Rejection, partner

ROLE_FOLDERS = {
    "image": "image",
    "images": "image",
    "img": "image",
    "imgs": "image",
    "a": "pre",
    "pre": "pre",
    "b": "post",
    "post": "post",
    "mask": "mask",
    "masks": "mask",
    "label": "mask",
    "labels": "mask",
    "out": "mask",
}


@dataclass(frozen=True)
class Candidate:
    """The files of one scene, not yet opened.

    Attributes:
      name: Path of the scene in its split, without suffix.
      site: Name of its site, given by the layout: scenes of one site show one place.
      split: Split in the source; None if the source has no split folders.
      files: Role -> path.
    """

    name: str
    site: str
    split: str | None
    files: Mapping[str, Path]

    @property
    def key(self) -> tuple[str | None, str]:
        """Split and name: unique in the source."""
        return self.split, self.name


@dataclass(frozen=True)
class Entry:
    """One image file, and what the names of its folders say about it.

    Attributes:
      path: Path of the file.
      relative: The path relative to the source.
      split: The split that a folder names; None if no folder does.
      role_folder: The folder that names its role; None if no folder does.
      key: The remaining parts of the path, without suffix.
    """

    path: Path
    relative: str
    split: str | None
    role_folder: str | None
    key: tuple[str, ...]

    @property
    def role(self) -> str | None:
        """Its role in the scene: image, pre, post or mask."""
        return ROLE_FOLDERS[self.role_folder.lower()] if self.role_folder else None


def by_file(entries: list[Entry]) -> tuple[list[Candidate], list[Rejection]]:
    """Make every file a scene; files of one stem in A and B show the same site."""
    by_name: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        prefix = (entry.role_folder,) if entry.role in ("pre", "post") else ()
        name = "/".join((*(p for p in prefix if p), *entry.key))
        by_name[entry.split or "", name].append(entry)
    candidates, rejected = [], []
    for (_, name), same in sorted(by_name.items()):
        if len(same) > 1:
            rejected += _duplicates(same)
            continue
        entry = same[0]
        # Stems are often numbers, and the same number in another split is another place.
        site = "/".join(part for part in (entry.split, *entry.key) if part)
        candidates.append(Candidate(name, site, entry.split, {"image": entry.path}))
    return candidates, rejected


def by_stem(
    entries: list[Entry], roles: tuple[str, ...]
) -> tuple[list[Candidate], list[Rejection]]:
    """Match the files of each scene by their common stem."""
    by_name: dict[tuple[str, str], dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        by_name[entry.split or "", "/".join(entry.key)][entry.role or ""].append(entry)
    candidates, rejected = [], []
    for (_, name), found in sorted(by_name.items()):
        every = [entry for role in roles for entry in found.get(role, [])]
        missing = [role for role in roles if role not in found]
        double = next((same for same in found.values() if len(same) > 1), None)
        if double:
            rejected += _duplicates(double)
            rejected += _partners(every, double, double[0])
        elif missing:
            first = every[0]
            reason = f"has no {' and no '.join(missing)} file of the same stem"
            rejected.append(Rejection(first.relative, reason))
            rejected += _partners(every, [first], first)
        else:
            files = {role: found[role][0].path for role in roles}
            split = every[0].split
            candidates.append(Candidate(name, f"{split}/{name}" if split else name, split, files))
    return candidates, rejected


def _duplicates(same: list[Entry]) -> list[Rejection]:
    names = " and ".join(Path(entry.relative).name for entry in same)
    first, *others = same
    return [Rejection(first.relative, f"{names} have the same stem")] + [
        Rejection(entry.relative, f"{names} have the same stem", is_cause=False) for entry in others
    ]


def _partners(every: list[Entry], causes: list[Entry], cause: Entry) -> Iterator[Rejection]:
    for entry in every:
        if entry not in causes:
            yield partner(entry.relative, cause.relative)
