"""Files that are not used, each with its reason: nothing is dropped unseen."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.ground.errors import UserError


@dataclass(frozen=True)
class Rejection:
    """A file that is not used.

    Attributes:
      path: Relative to the source.
      reason: Why.
      is_cause: False where only its partner is at fault.
    """

    path: str
    reason: str
    is_cause: bool = True


class Unusable(Exception):
    """A loader's way to say that a scene cannot be used.

    Attributes:
      reasons: Each file at fault with its reason; the scene's other files are merely its partners.
    """

    def __init__(self, reasons: Mapping[Path, str]) -> None:
        super().__init__(dict(reasons))  # The argument, so that it can be pickled.
        self.reasons = dict(reasons)


def of_scene(
    source: Path, files: Iterable[Path], reasons: Mapping[Path, str]
) -> tuple[Rejection, ...]:
    """Reject all files of a scene, some of which are at fault.

    Args:
      source: What paths are relative to.
      files: Its files.
      reasons: Those at fault -> why; at least one.
    """
    cause = next(iter(reasons))
    return account(source, reasons, dict.fromkeys(files, cause), ())


def account(
    source: Path,
    reasons: Mapping[Path, str],
    partners: Mapping[Path, Path],
    used: Container[Path],
) -> tuple[Rejection, ...]:
    """Reject the files at fault, and their partners that no other scene uses.

    Args:
      source: What paths are relative to.
      reasons: Files at fault -> why.
      partners: Files of the scenes they belong to -> the file at fault.
      used: Files of other scenes.
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
    """Reject a file for another one of its scene."""
    return Rejection(path, f"its partner {cause} is rejected", is_cause=False)


def check(rejections: Sequence[Rejection], num_found: int, on_error: str) -> None:
    """Refuse to go on where files cannot be used, unless the user said to skip them.

    Args:
      rejections: All files that are not used.
      num_found: Number of files found.
      on_error: fail or skip.

    Raises:
      UserError: on_error is fail and there are any; the message lists them.
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
    """Refuse to go on as `check` and `check_left` do, whose arguments these are."""
    check(rejections, num_found, on_error)
    check_left(wanted, left, rejections, num_found)


def check_left(
    wanted: Iterable[str], left: Iterable[str], rejections: Sequence[Rejection], num_found: int
) -> None:
    """Refuse to go on where a split has lost all its scenes.

    Args:
      wanted: Splits that scenes were found for.
      left: Splits of the scenes that can be used.
      rejections: All files that are not used.
      num_found: Number of files found.

    Raises:
      UserError: A split is empty, or all are; the message lists why.
    """
    there = set(left)
    emptied = sorted(set(wanted) - there)
    if emptied or not there:
        where = " and ".join(emptied) or "any split"
        raise UserError(f"no scene is left for {where}: {listing(rejections, num_found)}")


def listing(rejections: Sequence[Rejection], num_found: int, hint: str = "") -> str:
    """Return the list of the files at fault, one a line under a heading that ends in the hint."""
    lines = [f"{r.path}: {r.reason}" for r in rejections if r.is_cause]
    if len(lines) == 1:
        return f"{lines[0]}{hint}"
    return "\n".join([f"{len(lines)} of {num_found} files cannot be used{hint}", *lines])
