"""Says why a folder's layout is not understood: what was found, known and is nearest (pure)."""

import difflib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from data_prep.reading.role_names import KNOWN_LAYOUTS, SEPARATORS, TYPICAL, fold, year_of
from data_prep.reading.role_ways import File, Given
from data_prep.reading.roles import Reading, ends_of_names

_MOST_SHOWN = 8  # Folders.
_MOST_TWINS = 4  # Folders of files of the same names: more are probably classes or days.
_CUTOFF = 0.8  # Of likeness between the name of a folder and a usual one, from 0 to 1.
_LIKE_MASKS = (
    "mask",
    "label",
    "lbl",
    "gt",
    "truth",
    "anno",
    "seg",
    "ref",
    "bldg",
    "building",
    "change",
)
_ALL_AS_IMAGES = "--task=denoise takes all files as images without masks"


def doubt(files: Sequence[File], readings: Sequence[Reading], given: Given) -> str | None:
    """Say what speaks against taking all files as images without masks.

    Args:
      files: All image files.
      readings: The best reading for each task that may be meant; none makes a scene.
      given: What the user says about names.

    Returns:
      What lacks and which option or name mends it, as a clause; None if nothing in the tree looks
      like a mask, a label or a pair.
    """
    found: dict[str, list[str]] = {}
    for reading in readings:
        found |= {role: found.get(role) or names for role, names in reading.found.items()}
    pairs = [name for role in ("pre", "post") for name in found.get(role, [])]
    if "mask" not in found and all(year_of(name) for name in pairs):
        found = {role: names for role, names in found.items() if role not in ("pre", "post")}
    of_dates = {
        entry.role_name or ""
        for reading in readings
        for entry in reading.entries
        if entry.role == "date_mask"
    }
    if of_dates:
        found["date_mask"] = sorted(of_dates)
    known = {
        entry.relative
        for reading in readings
        for entry in reading.entries
        if entry.role is not None
    }
    others = sorted({_folder(f.relative) for f in files if f.relative not in known} - {""})
    tops = sorted({other.split("/")[-1] for other in others})
    return next(
        filter(
            None,
            itertools.chain(
                [_by_roles(found, tops, given)],
                [_by_likeness(tops, given)],
                [_by_ends(files, given)],
                [_by_twins(files, given)],
                [_by_repeated_ends(files, given)],
            ),
        ),
        None,
    )


def message(files: Sequence[File], doubt: str | None, unread: Sequence[str] = ()) -> str:
    """Return the lines of an error: what was found, what is known, what is nearest.

    Args:
      files: All image files.
      doubt: See `doubt`.
      unread: Paths of rasters of kinds that are not read.
    """
    nearest = (
        doubt or "nothing looks like a mask or a pair; --roles=image=NAME,mask=NAME names them"
    )
    return "\n".join(
        [
            "cannot tell images from masks",
            f"found: {folders_in_words([file.relative for file in files])}"
            + (f"; of kinds that are not read: {folders_in_words(unread)}" if unread else ""),
            f"known: {KNOWN_LAYOUTS}",
            f"nearest: {nearest}",
        ]
    )


def folders_in_words(relatives: Sequence[str]) -> str:
    """Name the folders of files, each with the number of its files and one of them."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for relative in relatives:
        by_folder[_folder(relative)].append(PurePosixPath(relative).name)
    parts = []
    for folder, names in sorted(by_folder.items()):
        number = "1 file" if len(names) == 1 else f"{len(names)} files"
        parts.append(f"{number} in {f'{folder}/' if folder else 'the source'} ({min(names)})")
    more = f" and {len(parts) - _MOST_SHOWN} more folders" if len(parts) > _MOST_SHOWN else ""
    return ", ".join(parts[:_MOST_SHOWN]) + more


def _folder(relative: str) -> str:
    folder = PurePosixPath(relative).parent.as_posix()
    return "" if folder == "." else folder


def _by_roles(found: dict[str, list[str]], others: Sequence[str], given: Given) -> str | None:
    names = {role: " and ".join(of) for role, of in found.items()}
    pairs = [role for role in ("pre", "post") if role in found]
    if len(pairs) == 1:
        lacking = "post" if pairs == ["pre"] else "pre"
        if "mask" not in found and not others:
            return (
                f"{names[pairs[0]]} is one date of a pair ({pairs[0]}), without the other:"
                f" {_ALL_AS_IMAGES}"
            )
        return (
            f"{names[pairs[0]]} is one date of a pair ({pairs[0]}), and nothing is the other:"
            f" {given.option(**{lacking: others[0] if len(others) == 1 else 'NAME'})} names it"
        )
    if pairs and "mask" not in found:
        if "date_mask" in found:
            return (
                f"{names['pre']} and {names['post']} are a pair, and {names['date_mask']} show"
                " single dates, not the change: add a mask of the change, as label, or"
                f" {given.option(mask=found['date_mask'][-1])} takes the last for it"
            )
        if len(others) == 1:
            return (
                f"{names['pre']} and {names['post']} are a pair without a label:"
                f" {given.option(mask=others[0])} takes {others[0]} for it"
            )
        return (
            f"{names['pre']} and {names['post']} are a pair without a label: add it, as label, or"
            f" {_ALL_AS_IMAGES}"
        )
    if "mask" in found and "image" not in found and not pairs:
        what = f"{names['mask']} holds masks, and nothing is known to be images"
        if len(others) == 1:
            return f"{what}: {given.option(image=others[0])} takes {others[0]} for them"
        if len(others) == 2:
            return (
                f"{what}: {given.option(pre=others[0], post=others[1])} takes them for a pair, if"
                f" {others[0]} is the earlier"
            )
        return f"{what}: --roles=image=NAME or --roles=pre=NAME,post=NAME names them"
    if "image" in found and "mask" not in found and others:
        if len(others) == 1:
            return (
                f"{names['image']} holds images, and {others[0]} is not known:"
                f" {given.option(mask=others[0])} takes it for the masks; {_ALL_AS_IMAGES}"
            )
        return (
            f"{names['image']} holds images, and {', '.join(others[:_MOST_SHOWN])} are not known:"
            f" --roles=mask=NAME says which holds the masks; {_ALL_AS_IMAGES}"
        )
    return None


def _by_likeness(folders: Sequence[str], given: Given) -> str | None:
    for folder in folders:
        close = difflib.get_close_matches(fold(folder), TYPICAL, n=1, cutoff=_CUTOFF)
        if close:
            return (
                f"the folder {folder} is nearly {close[0]}: rename it, or"
                f" {given.option(**{TYPICAL[close[0]]: folder})}; {_ALL_AS_IMAGES}"
            )
    return None


def _by_ends(files: Sequence[File], given: Given) -> str | None:
    """Doubt that files whose names end like those of masks or dates are images."""
    ends = ends_of_names(files, given)
    masks = [(label, file) for file, role, label, _ in ends if role in ("mask", "date_mask")]
    dates: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for _, role, label, key in ends:
        if role in ("pre", "post"):
            dates[key][role] = label
    pairs = [labels for labels in dates.values() if len(labels) == 2]
    num_dated = sum(role in ("pre", "post") for _, role, _, _ in ends)
    if pairs and 2 * num_dated >= len(files):
        what = f"{pairs[0]['pre']} and {pairs[0]['post']} are pairs"
        if masks:
            return (
                f"{what}, and {masks[-1][0]} is a mask, but not known to show their change:"
                f" {given.option(mask=masks[-1][0])} takes it for that"
            )
        return f"{what} without a label: add x_label beside them, or {_ALL_AS_IMAGES}"
    if masks:
        label, file = masks[0]
        of_masks = {f.folders[-1:] for _, f in masks}
        beside = {f.folders[-1:] for f in files} - of_masks
        option = "--roles=image=NAME"
        if len(of_masks) == len(beside) == 1 and all(of_masks | beside):
            option = given.option(image=beside.pop()[0], mask=of_masks.pop()[0])
        return (
            f"{len(masks)} files are named as masks ({label}, such as {file.relative}), but no"
            f" image has the same name without it: {option} names the images;"
            f" {_ALL_AS_IMAGES}"
        )
    return None


def _by_twins(files: Sequence[File], given: Given) -> str | None:
    """Doubt that folders of files of the same names are independent images."""
    stems: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for file in files:
        stems[file.folders].add(fold(file.stem))
    alike: dict[frozenset[str], list[str]] = defaultdict(list)
    for folders, of in sorted(stems.items()):
        if folders and len(of) > 1:
            alike[frozenset(of)].append(folders[-1])
    for twins in alike.values():
        names = sorted(set(twins), key=lambda name: (_is_like_mask(name), name))
        if 2 <= len(names) <= _MOST_TWINS:
            roles = ("image", "mask") if len(names) == 2 else ("pre", "post", "mask")
            option = given.option(**dict(zip(roles, names, strict=False)))
            return (
                f"the folders {' and '.join(names)} hold files of the same names, as images and"
                f" masks or pairs do: {option}, or in another order, says which is which;"
                f" {_ALL_AS_IMAGES}"
            )
    return None


def _is_like_mask(name: str) -> bool:
    return any(part in fold(name) for part in _LIKE_MASKS)


def _by_repeated_ends(files: Sequence[File], given: Given) -> str | None:
    """Doubt that area1.png, area1_bldg.png, area2.png, area2_bldg.png, ... are all images."""
    stems = {(file.folders, file.stem) for file in files}
    ends = Counter(
        pattern
        for folders, stem in stems
        for rest, pattern in _cuts(stem)
        if (folders, rest) in stems
    )
    for pattern, number in ends.most_common(1):
        if (number > 1 or _is_like_mask(pattern)) and 3 * number >= len(files):
            return (
                f"{number} files are named as another with {pattern.strip('*')} at an end:"
                f" {given.option(mask=pattern)} takes them for masks; {_ALL_AS_IMAGES}"
            )
    return None


def _cuts(stem: str) -> Iterator[tuple[str, str]]:
    for place, letter in enumerate(stem):
        if letter in SEPARATORS and 0 < place < len(stem) - 1:
            start, end = stem[:place], stem[place + 1 :]
            if not end.isdigit():
                yield start, f"*{letter}{end}"
            if not start.isdigit():
                yield end, f"{start}{letter}*"
