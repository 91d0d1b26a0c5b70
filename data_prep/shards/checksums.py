"""SHA-256 of files: of the source files, so that a split can be rebuilt, and of the shards."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from data_prep.basics.parallel import ordered_map


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: Iterable[Path], *, num_workers: int) -> dict[Path, tuple[str, str]]:
    """Return (SHA-256, "") of each file, or ("", the reason why it cannot be read), by path."""
    ordered = sorted(set(paths))
    digests = ordered_map(
        _try_file,
        ordered,
        num_workers=num_workers if len(ordered) > 2 * num_workers else 1,
        description="checksums",
        unit="files",
    )
    return dict(zip(ordered, digests, strict=True))


def _try_file(path: Path) -> tuple[str, str]:
    try:
        return of_file(path), ""
    except OSError as error:
        return "", "is missing" if isinstance(error, FileNotFoundError) else str(error.strerror)
