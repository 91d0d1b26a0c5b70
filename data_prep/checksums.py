"""SHA-256 of files: of the sources, so that a split can be rebuilt, and of the shards."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from data_prep.parallel import ordered_map


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: Iterable[Path], folder: Path, *, num_workers: int) -> dict[str, str]:
    """Return the SHA-256 of each file by its path relative to `folder`, sorted."""
    ordered = sorted(set(paths))
    digests = ordered_map(
        of_file,
        ordered,
        num_workers=num_workers,
        total=len(ordered),
        description="checksums",
        unit=" files",
    )
    return {
        path.relative_to(folder).as_posix(): digest
        for path, digest in zip(ordered, digests, strict=True)
    }
