"""Matches image files to scenes: which files belong together (pure)."""

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.basics.rejection import Rejection, partner
from data_prep.reading.role_names import SEPARATORS, fold

_MOST_COMPARED = 200  # Files of a role among which the nearest is sought; comparing takes time.
_CUTOFF = 0.4  # Of the likeness of two names, from 0 to 1.


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
    """One image file, and what its name and the names of its folders say about it.

    Attributes:
      path: Path of the file.
      relative: The path relative to the source.
      split: The split that a folder or a list names; None if none does.
      role: Its role in the scene: image, pre, post, mask or date_mask; None if nothing names it.
      role_name: What names the role: a folder, or an end of file names such as *_mask.
      key: The remaining parts of the path, without suffix, in Unicode's form NFC.
      group: The folders above the one that names the role.
    """

    path: Path
    relative: str
    split: str | None
    role: str | None
    role_name: str | None
    key: tuple[str, ...]
    group: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matched:
    """Scenes, and the files that belong to none.

    Attributes:
      candidates: Scenes with all their files, by name.
      unmatched: The other files.
      num_folded: Number of scenes whose files' names differ in case or separators.
    """

    candidates: tuple[Candidate, ...]
    unmatched: tuple[Rejection, ...]
    num_folded: int = 0


def by_file(entries: Sequence[Entry]) -> Matched:
    """Make every file a scene; files of one stem in A and B show the same site."""
    by_name: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        prefix = (entry.role_name,) if entry.role in ("pre", "post") else ()
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
    return Matched(tuple(candidates), tuple(rejected))


def by_key(entries: Sequence[Entry], roles: tuple[str, ...]) -> Matched:
    """Match the files of each scene by what is left of their names without the role.

    Case, separators and zeros before numbers do not matter where no two files of one role differ
    in them alone.
    """
    folded: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        alike_key = re.sub(r"(?<!\d)0+(?=\d)", "", "/".join(map(fold, entry.key)))
        folded[entry.split or "", alike_key].append(entry)
    by_name: dict[tuple[str, str], dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    num_folded = 0
    for (split, _), alike in folded.items():
        names = {"/".join(entry.key) for entry in alike}
        is_clear = len(names) > 1 and max(Counter(entry.role for entry in alike).values()) == 1
        first = min(alike, key=lambda entry: roles.index(entry.role or ""))
        num_folded += is_clear and len(alike) == len(roles)
        for entry in alike:
            name = "/".join(first.key if is_clear else entry.key)
            by_name[split, name][entry.role or ""].append(entry)
    candidates: list[Candidate] = []
    rejected: list[Rejection] = []
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
            of = every[0].split
            candidates.append(Candidate(name, f"{of}/{name}" if of else name, of, files))
    return Matched(tuple(candidates), tuple(rejected), num_folded)


def with_nearest(matched: Matched, entries: Sequence[Entry]) -> tuple[Rejection, ...]:
    """Add to the reason of a file that lacks another the free file of the nearest name.

    If one affix tells most of these files from their nearest, the reason names the option for it.
    """
    lacking = {r.path for r in matched.unmatched if r.reason.startswith("has no ")}
    by_role: dict[str | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.relative in lacking and len(by_role[entry.role]) < _MOST_COMPARED:
            by_role[entry.role].append(entry)
    free = [entry for alike in by_role.values() for entry in alike]
    nearest = {entry.relative: near for entry in free if (near := _nearest(entry, free))}
    affixes = Counter(
        affix for entry in free if (affix := _affix(entry, nearest.get(entry.relative)))
    )
    best = max(affixes, key=lambda affix: affixes[affix], default="")
    how = f": --roles='{best}' matches such names" if best and affixes[best] > 1 else ""
    return tuple(
        replace(r, reason=f"{r.reason}; the nearest name is {nearest[r.path].relative}{how}")
        if r.path in nearest
        else r
        for r in matched.unmatched
    )


def _nearest(entry: Entry, free: Sequence[Entry]) -> Entry | None:
    others = [o for o in free if o.split == entry.split and o.role != entry.role]
    # A stem that holds the other whole is nearer than any likeness of letters.
    for other in others:
        if _affix(entry, other):
            return other
    names = {"/".join(other.key): other for other in others}
    close = difflib.get_close_matches("/".join(entry.key), names, n=1, cutoff=_CUTOFF)
    return names[close[0]] if close else None


def _affix(first: Entry, second: Entry | None) -> str | None:
    """Return mask=*_x if the stem of the mask is that of the image and _x; None if it is not."""
    if second is None or first.key[:-1] != second.key[:-1] or not first.key:
        return None
    short, long = sorted((first, second), key=lambda entry: len(entry.key[-1]))
    stem, longer = short.key[-1], long.key[-1]
    for pattern, rest in (("*{}", longer.removeprefix(stem)), ("{}*", longer.removesuffix(stem))):
        border = rest[:1] if pattern.startswith("*") else rest[-1:]
        if rest != longer and border and border in SEPARATORS:
            return f"{long.role}={pattern.format(rest)}"
    return None


def _duplicates(same: Sequence[Entry]) -> list[Rejection]:
    names = " and ".join(Path(entry.relative).name for entry in same)
    first, *others = same
    return [Rejection(first.relative, f"{names} have the same stem")] + [
        Rejection(entry.relative, f"{names} have the same stem", is_cause=False) for entry in others
    ]


def _partners(every: list[Entry], causes: Sequence[Entry], cause: Entry) -> Iterator[Rejection]:
    for entry in every:
        if entry not in causes:
            yield partner(entry.relative, cause.relative)
