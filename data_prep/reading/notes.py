"""Says what was done to the pixels of a folder that a user may not expect."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.imagery.turn import Turn
from data_prep.reading.inspection import FileFacts, Verdict
from data_prep.reading.matching import Candidate
from data_prep.reading.scene_files import turn_between

_MANY_ALPHA_LEVELS = 16
_MUCH_BLACK = 0.02  # Share of pixels that are 0 in all bands: shadows seldom are.


def of_pixels(verdict: Verdict, facts: Mapping[Path, FileFacts | str]) -> list[str]:
    """Return notes on changes of pixels that a user may not expect, one sentence each."""
    used = [
        (path, fact)
        for candidate in verdict.whole
        for path in candidate.files.values()
        if isinstance(fact := facts[path], FileFacts) and fact.histogram is None
    ]
    lines = []
    alpha = [(path, fact) for path, fact in used if fact.alpha_levels is not None]
    if alpha:
        lines.append(
            f"{len(alpha)} of {len(used)} images have an alpha band, which is dropped; where it is"
            " 0, the mask is 255 (ignore)"
        )
    doubtful = [path.name for path, fact in alpha if (fact.alpha_levels or 0) > _MANY_ALPHA_LEVELS]
    if doubtful:
        lines.append(
            f"the alpha band of {len(doubtful)} of them (such as {doubtful[0]}) holds many values;"
            " if it is a spectral band, --alpha=band reads it"
        )
    invalid = sum(fact.has_invalid for _, fact in used)
    if invalid:
        lines.append(f"{invalid} images hold pixels without data: the mask is 255 (ignore) there")
    black = [(fact.black, path) for path, fact in used if fact.black > _MUCH_BLACK]
    if black:
        share, path = max(black)
        lines.append(
            f"{len(black)} images hold much black that counts as data ({path.name}:"
            f" {100 * share:.0f} % of its pixels); if it is no data, --nodata=0 ignores it"
        )
    for note, paths in _by_note(used).items():
        lines.append(f"{len(paths)} images (such as {paths[0].name}) are {note}")
    files = [(path, facts[path]) for one in verdict.whole for path in one.files.values()]
    unknown = [
        path.name
        for path, fact in files
        if isinstance(fact, FileFacts) and fact.histogram is not None and fact.has_invalid
    ]
    if unknown:
        lines.append(
            f"{len(unknown)} masks (such as {unknown[0]}) hold pixels of NaN or no-data, which are"
            " ignored; --mask_nodata=0 takes them as class 0"
        )
    bottom_up = _bottom_up(verdict.whole, facts)
    if bottom_up:
        path, other = bottom_up[0]
        lines.append(
            f"{len(bottom_up)} images (such as {path.name}) are stored bottom up, and their"
            f" {other.parent.name}/{other.name} does not say where it lies: it is taken to be"
            " stored bottom up as well; verify shows whether both fit"
        )
    turned = _turned(verdict.whole, facts)
    if turned:
        path, turn, first = turned[0]
        lines.append(
            f"{len(turned)} files are turned onto the grid of their image, such as"
            f" {path.parent.name}/{path.name}: {turn.in_words()} to fit {first.name}"
        )
    return lines


def _by_note(used: Sequence[tuple[Path, FileFacts]]) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = defaultdict(list)
    for path, fact in used:
        for note in fact.notes:
            paths[note].append(path)
    return paths


def _turned(
    whole: Sequence[Candidate], facts: Mapping[Path, FileFacts | str]
) -> list[tuple[Path, Turn, Path]]:
    """Return files that are turned onto the grid of their scene's first image: (file, turn, it)."""
    found = []
    for candidate in whole:
        first = next(path for role, path in candidate.files.items() if role != "mask")
        target = facts[first]
        for path in candidate.files.values():
            fact = facts[path]
            assert isinstance(fact, FileFacts)
            assert isinstance(target, FileFacts)
            turn = turn_between(fact.grid, target.grid, first.name)
            if turn:
                found.append((path, turn, first))
    return found


def _bottom_up(
    whole: Sequence[Candidate], facts: Mapping[Path, FileFacts | str]
) -> list[tuple[Path, Path]]:
    """Return images whose rows run from south to north, with a file that does not say so."""
    found = []
    for candidate in whole:
        first = next(path for role, path in candidate.files.items() if role != "mask")
        target = facts[first]
        assert isinstance(target, FileFacts)
        if target.grid.is_placed and target.grid.transform.e > 0:
            for path in candidate.files.values():
                fact = facts[path]
                if isinstance(fact, FileFacts) and not fact.grid.is_placed:
                    found.append((first, path))
                    break
    return found
