"""Files that are not used, each with its reason: nothing is dropped unseen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import UserError


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


def check(rejections: Sequence[Rejection], num_found: int, on_error: str) -> None:
    """Refuse to go on where files cannot be used, unless the user said to skip them.

    Args:
      rejections: All files that are not used.
      num_found: Number of files found.
      on_error: fail or skip.

    Raises:
      UserError: on_error is fail and there are any; the message lists them.
    """
    if on_error == "fail" and any(rejection.is_cause for rejection in rejections):
        raise UserError(listing(rejections, num_found))


def listing(rejections: Sequence[Rejection], num_found: int) -> str:
    """Return the list of the files at fault, one a line under a heading."""
    lines = [f"{r.path}: {r.reason}" for r in rejections if r.is_cause]
    if len(lines) == 1:
        return lines[0]
    head = (
        f"{len(lines)} of {num_found} files cannot be used (--on_error=skip goes on without them)"
    )
    return "\n".join([head, *lines])
