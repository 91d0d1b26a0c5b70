"""Files that are not used, each with its reason: no file is dropped silently."""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.basics import remedies
from data_prep.basics.errors import UserError

_MOST_ALONE = 3  # Files of one kind of reason that have a line each.


@dataclass(frozen=True)
class Rejection:
    """A file that is not used.

    Attributes:
      path: Path of the file, relative to the source.
      reason: Why it is not used.
      is_cause: Whether this file is at fault; False: only another file of its scene is.
    """

    path: str
    reason: str
    is_cause: bool = True


class Unusable(Exception):
    """Raised by a loader for a scene that cannot be used.

    Attributes:
      reasons: Each file at fault with its reason; the scene's other files are its partners.
    """

    def __init__(self, reasons: Mapping[Path, str]) -> None:
        super().__init__(dict(reasons))  # The argument, so that it can be pickled.
        self.reasons = dict(reasons)


def of_scene(
    source: Path, files: Iterable[Path], reasons: Mapping[Path, str]
) -> tuple[Rejection, ...]:
    """Reject all files of a scene because some are at fault.

    Args:
      source: Folder that paths are relative to.
      files: The files of the scene.
      reasons: File at fault -> why; at least one.
    """
    cause = next(iter(reasons))
    return account(source, reasons, dict.fromkeys(files, cause), ())


def account(
    source: Path,
    reasons: Mapping[Path, str],
    partners: Mapping[Path, Path],
    used: Container[Path],
) -> tuple[Rejection, ...]:
    """Reject files at fault, and those partners of theirs that no other scene uses.

    Args:
      source: Folder that paths are relative to.
      reasons: File at fault -> why.
      partners: Other file of a scene -> the file at fault in that scene.
      used: Files that other scenes use.
    """

    def name(path: Path) -> str:
        return path.relative_to(source).as_posix()

    causes = (Rejection(name(path), reason) for path, reason in sorted(reasons.items()))
    others = (
        partner(name(path), name(cause))
        for path, cause in sorted(partners.items())
        if path not in reasons and path not in used
    )
    return (*causes, *others)


def partner(path: str, cause: str) -> Rejection:
    """Reject a file because another file of its scene is rejected."""
    return Rejection(path, f"its partner {cause} is rejected", is_cause=False)


def check(rejections: Sequence[Rejection], num_found: int, on_error: str) -> None:
    """Stop if files cannot be used, unless the user said to skip them.

    Args:
      rejections: All files that are not used.
      num_found: Number of files found.
      on_error: fail or skip.

    Raises:
      UserError: on_error is fail and a file is rejected; the message lists all rejected files.
    """
    causes = sum(rejection.is_cause for rejection in rejections)
    if on_error == "fail" and causes:
        them = "it" if causes == 1 else "them"
        hint = f" (--on_error=skip goes on without {them})"
        raise UserError(listing(rejections, num_found, hint))


def check_usable(
    rejections: Sequence[Rejection],
    num_found: int,
    on_error: str,
    wanted: Iterable[str],
    left: Iterable[str],
) -> None:
    """Stop as `check` and `check_left` do; the arguments are theirs."""
    check(rejections, num_found, on_error)
    check_left(wanted, left, rejections, num_found)


def check_left(
    wanted: Iterable[str], left: Iterable[str], rejections: Sequence[Rejection], num_found: int
) -> None:
    """Stop if a split has lost all its scenes.

    Args:
      wanted: Splits of all scenes that were found.
      left: Splits of the scenes that can be used.
      rejections: All files that are not used.
      num_found: Number of files found.

    Raises:
      UserError: A split is empty, or all are; the message lists the rejected files.
    """
    there = set(left)
    emptied = sorted(set(wanted) - there)
    if emptied or not there:
        where = " and ".join(emptied) or "any split"
        raise UserError(f"no scene is left for {where}: {listing(rejections, num_found)}")


def listing(rejections: Sequence[Rejection], num_found: int, hint: str = "") -> str:
    """List the files at fault under a heading that ends in the hint.

    A file is one line; more than three files of one kind of reason are one line, with three names.
    A line ends in what mends the files, where something is known to.
    """
    causes = [r for r in rejections if r.is_cause]
    kinds: dict[str, list[Rejection]] = defaultdict(list)
    for cause in causes:
        kinds[_kind(cause)].append(cause)
    lines = []
    for alike in kinds.values():
        if len(alike) <= _MOST_ALONE:
            lines += [_line(f"{r.path}: {r.reason}", r) for r in alike]
            continue
        first = alike[0]
        names = ", ".join(r.path for r in alike[:_MOST_ALONE])
        same = all(r.reason == first.reason for r in alike)
        how = ": " if same else f", each as {first.path}: "
        lines.append(_line(f"{len(alike)} files ({names}, ...){how}{first.reason}", first))
    if len(causes) == 1:
        return f"{lines[0]}{hint}"
    return "\n".join([f"{len(causes)} of {num_found} files cannot be used{hint}", *lines])


def _kind(rejection: Rejection) -> str:
    """Return the first clause of a reason without its numbers and names of files."""
    clause = rejection.reason.split(";")[0]
    clause = re.sub(r"\S*/\S*|\S+\.(png|jpe?g|tiff?)\b", "FILE", clause, flags=re.IGNORECASE)
    return re.sub(r"\d+", "N", clause)


def _line(text: str, rejection: Rejection) -> str:
    how = remedies.remedy(rejection.reason)
    return f"{text} ({how})" if how else text
