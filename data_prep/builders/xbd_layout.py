"""Finds the layout of xBD: which files belong to which pair, disaster and split."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.basics.dataset import SPLITS
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Rejection, partner
from data_prep.reading.matching import Candidate

SPLIT_FOLDERS = {
    "train": "train",
    "tier3": "train",  # Further disasters, added for training.
    "val": "val",
    "hold": "val",  # Held out for the challenge's final round; the test split stays untouched.
    "holdout": "val",
    "test": "test",
}
TARGETS = ("buildings", "damage", "damage_levels")
# Role of an image -> its date. The masks of the paper's authors bear the name of the pre image,
# whatever the task.
_ROLES = {"buildings": {"image": "pre"}, "damage": {"pre": "pre", "post": "post"}}
_NAME = re.compile(r"(?P<pair>(?P<disaster>.+)_\d+)_(?P<date>pre|post)_disaster")
_CHALLENGE = re.compile(r"test_(pre|post)_\d+")  # The challenge's test images, without labels.
_WHOSE = {
    "": "the owner's layout",
    "xBD/DISASTER": "the layout of the paper's authors",
    "DISASTER": "the owner's files by disaster",
    "xBD": "the owner's layout below xBD",
}
_SUFFIXES = {"images": ".png", "labels": ".json", "masks": ".png"}


@dataclass(frozen=True)
class Layout:
    """What a folder in a layout of xBD holds for the chosen disasters.

    Attributes:
      description: The folders found, in words.
      truth: labels or masks: where the records' masks come from.
      disasters: Names of the chosen disasters.
      has_splits: Whether there are split folders.
      candidates: Scenes with all their files, by name.
      rejected: Files that belong to no complete scene.
      num_found: Number of files of the roles that the target uses.
      notes: Notes on files that are not used, one sentence each.
    """

    description: str
    truth: str
    disasters: tuple[str, ...]
    has_splits: bool
    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    num_found: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    path: Path
    relative: str
    split: str | None
    folder: str  # images, labels or masks
    pair: str
    disaster: str
    date: str


def find(
    source: Path, disasters: Sequence[str], target: str, truth: str, *, needs_mask: bool
) -> Layout:
    """Find the scenes of a folder.

    Args:
      source: A folder with SPLIT/{images,labels} (the owner's) or SPLIT/xBD/DISASTER/{images,masks}
        (the paper's authors'), with or without SPLIT.
      disasters: Names, or "all" alone.
      target: One of TARGETS.
      truth: labels, masks, or auto: labels if there are any.
      needs_mask: Whether a scene without a mask file is rejected; False: it has no buildings.

    Returns:
      The layout. No file has been opened.

    Raises:
      UserError: The folder is missing or has another layout, a disaster is missing, or a pair of
        images lies in two folders.
    """
    scan = _Scan(source)
    chosen = _choose(source, {file.disaster for file in scan.files}, disasters)
    truth = _decide_truth(source, truth, {file.folder for file in scan.files})
    rejected = [found for folder, found in scan.misnamed if folder in ("images", truth)]
    unused = scan.unused
    roles = dict(_ROLES["buildings" if target == "buildings" else "damage"])
    truth_date = "post" if truth == "labels" and target != "buildings" else "pre"
    wanted = {("images", date): role for role, date in roles.items()}
    wanted[truth, truth_date] = "mask"
    used: dict[tuple[str | None, str], dict[str, _File]] = defaultdict(dict)
    for file in scan.files:
        role = wanted.get((file.folder, file.date))
        if file.disaster not in chosen:
            unused["files of disasters that --disasters leaves out"] += 1
        elif role is None:
            unused[f"{file.date} {file.folder} that --target={target} from {truth} leaves out"] += 1
        elif other := used[file.split, file.pair].get(role):
            raise UserError(f"{file.relative} and {other.relative} have the same name")
        else:
            used[file.split, file.pair][role] = file
    _check_unique(used)
    candidates, unmatched = _match(used, [*roles, "mask"] if needs_mask else [*roles])
    num_files = sum(len(found) for found in used.values())
    return Layout(
        _description(scan.forms),
        truth,
        chosen,
        any(split for split, _, _ in scan.forms),
        tuple(candidates),
        (*rejected, *unmatched),
        num_files + len(rejected),
        tuple(f"not used: {number} {what}" for what, number in unused.items()),
    )


class _Scan:
    """Collects the files of a folder in a layout of xBD.

    Attributes:
      files: Files named as the owner names them.
      misnamed: (folder, rejection) of the other files.
      unused: Kind of file that is not used -> number of files.
      forms: (split folder, form of the path below it, folders there) of every place with files.
    """

    def __init__(self, source: Path) -> None:
        if not source.is_dir():
            wrong = "not a folder" if source.exists() else "not found"
            raise UserError(f"--source={source}: {wrong}")
        self.files: list[_File] = []
        self.misnamed: list[tuple[str, Rejection]] = []
        self.unused: Counter[str] = Counter()
        self.forms: set[tuple[str | None, str, tuple[str, ...]]] = set()
        for parts, base, folders in _places(source):
            split, form = _place(source, parts)
            self.forms.add((split, form, tuple(folders)))
            for folder in folders:
                for path in sorted((base / folder).iterdir()):
                    if not path.name.startswith("."):
                        self._add(source, split, folder, path)
        if not any(file.folder == "images" for file in self.files):
            raise UserError(
                f"--source={source}: holds no SPLIT/images/DISASTER_ID_pre_disaster.png, nor such"
                " files in SPLIT/xBD/DISASTER/images"
            )
        outside = [file for file in self.files if not file.split]
        if outside and len(outside) < len(self.files):
            raise UserError(f"{outside[0].relative} lies in no split folder, but other images do")

    def _add(self, source: Path, split: str | None, folder: str, path: Path) -> None:
        if folder == "targets":
            self.unused["files of targets (drawn from the labels by the owner)"] += 1
            return
        relative = path.relative_to(source).as_posix()
        match = _NAME.fullmatch(path.stem) if path.suffix == _SUFFIXES[folder] else None
        if match:
            self.files.append(_File(path, relative, split, folder, *match.group(1, 2, 3)))
        elif folder == "images" and _CHALLENGE.fullmatch(path.stem):
            self.unused["images of the challenge's test set, which has no labels"] += 1
        else:
            name = f"DISASTER_ID_pre_disaster{_SUFFIXES[folder]}"
            reason = f"is not named {name} (or so with post instead of pre)"
            self.misnamed.append((folder, Rejection(relative, reason)))


def _places(source: Path) -> Iterator[tuple[tuple[str, ...], Path, list[str]]]:
    """Yield each folder that holds images, labels, masks or targets: its path and these names."""
    known = (*_SUFFIXES, "targets")
    for folder, subfolders, _ in os.walk(source, onerror=_refuse, followlinks=True):
        parts = Path(folder).relative_to(source).parts
        found = sorted(name for name in subfolders if name in known)
        # No layout has deeper folders, and following a link to a folder above would never end.
        subfolders[:] = sorted(
            name
            for name in subfolders
            if name not in known and not name.startswith(".") and len(parts) < 4
        )
        if found:
            yield parts, Path(folder), found


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: {error.strerror}") from error


def _place(source: Path, parts: tuple[str, ...]) -> tuple[str | None, str]:
    """Return the split folder of a path (as the source names it) and the form of the rest."""
    split = parts[0] if parts and parts[0].lower() in SPLIT_FOLDERS else None
    rest = parts[1:] if split else parts
    is_nested = bool(rest) and rest[0].lower() == "xbd"
    below = rest[1:] if is_nested else rest
    if len(below) > 1:
        raise UserError(
            f"{'/'.join(parts)}: holds images or labels, but they are expected in SPLIT/images or"
            f" SPLIT/xBD/DISASTER/images; is --source={source} the folder that holds the splits"
            f" ({', '.join(SPLIT_FOLDERS)})?"
        )
    form = "/".join([*(["xBD"] if is_nested else []), *(["DISASTER"] if below else [])])
    return split, form


def _choose(source: Path, present: set[str], disasters: Sequence[str]) -> tuple[str, ...]:
    if list(disasters) == ["all"]:
        return tuple(sorted(present))
    if unknown := sorted(set(disasters) - present):
        raise UserError(
            f"--disasters={','.join(unknown)}: not in {source}, which holds"
            f" {', '.join(sorted(present))}"
        )
    return tuple(sorted(set(disasters)))


def _decide_truth(source: Path, truth: str, folders: set[str]) -> str:
    there = [name for name in ("labels", "masks") if name in folders]
    if truth == "auto" and there:
        return there[0]
    if truth not in there:
        wanted = "labels or masks" if truth == "auto" else truth
        found = ", ".join(sorted(folders))
        raise UserError(f"--source={source}: no {wanted} beside the images (found {found})")
    return truth


def _check_unique(used: Iterable[tuple[str | None, str]]) -> None:
    """Refuse a pair that lies in two folders: it would be in two splits, or twice in one."""
    split_of: dict[str, str | None] = {}
    for split, pair in used:
        if pair in split_of:
            raise UserError(
                f"{pair} lies in {split or 'no split folder'} and in"
                f" {split_of[pair] or 'no split folder'}: keep the pair in one of them"
            )
        split_of[pair] = split


def _match(
    used: dict[tuple[str | None, str], dict[str, _File]], roles: Sequence[str]
) -> tuple[list[Candidate], list[Rejection]]:
    candidates, rejected = [], []
    for (split, pair), found in sorted(used.items(), key=lambda item: item[0][1]):
        missing = [role for role in roles if role not in found]
        if not missing:
            files = {role: found[role].path for role in (*roles, "mask") if role in found}
            split_name = SPLIT_FOLDERS[split.lower()] if split else None
            disaster = next(iter(found.values())).disaster
            candidates.append(Candidate(pair, disaster, split_name, files))
            continue
        first, *others = found.values()
        names = {"image": "pre image", "pre": "pre image", "post": "post image", "mask": "label"}
        reason = f"{pair} has no {' and no '.join(names[role] for role in missing)}"
        if missing == ["mask"] and not any(f.folder == "labels" for f in found.values()):
            reason += " or mask"
        rejected.append(Rejection(first.relative, reason))
        rejected += [partner(other.relative, first.relative) for other in others]
    return candidates, rejected


def _description(forms: set[tuple[str | None, str, tuple[str, ...]]]) -> str:
    """Return the folders in words: {hold,train}/{images,labels} (the owner's layout)."""
    names = sorted({split for split, _, _ in forms if split}, key=_split_order)
    below = sorted({form for _, form, _ in forms if form})
    folders = sorted({folder for _, _, found in forms for folder in found})
    parts = ["{" + ",".join(names) + "}"] if names else []
    parts += [" or ".join(below)] if below else []
    parts += ["{" + ",".join(folders) + "}"]
    whose = " and ".join(sorted({_WHOSE[form] for _, form, _ in forms}))
    return f"{'/'.join(parts)} ({whose})"


def _split_order(name: str) -> tuple[int, str]:
    return SPLITS.index(SPLIT_FOLDERS[name.lower()]), name
