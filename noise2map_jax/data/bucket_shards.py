"""Shards of a dataset in object storage: fetched when a record of them is read, and kept.

The cache is a folder of each host, named after the checksums of a dataset's shards: a dataset that
is built anew has another. It is `NOISE2MAP_CACHE`, by default `~/.cache/noise2map_jax`. Nothing is
removed from it.
"""

import bisect
import contextlib
import dataclasses
import hashlib
import itertools
import os
import pathlib
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from noise2map_jax.buckets.store import BucketError, Store

CACHE = "NOISE2MAP_CACHE"
_ATTEMPTS = 2  # the second is for a shard that was damaged on its way


@dataclasses.dataclass(frozen=True)
class BucketShards:
    """The shards of a dataset, of which some are here.

    Attributes:
        store: the dataset's folder in object storage.
        checksums: SHA-256 by the name of a shard, from the manifest.
        folder: the dataset's folder in the cache.
    """

    store: Store
    checksums: Mapping[str, str]
    folder: pathlib.Path
    _locks: dict[str, threading.Lock] = dataclasses.field(default_factory=dict, compare=False)

    def fetch(self, name: str) -> None:
        """Bring a shard into the cache, if it is not there.

        Raises:
            BucketError: it cannot be fetched, or its content is not what the manifest says.
        """
        path = self.folder / name
        with self._locks.setdefault(name, threading.Lock()):
            if path.is_file():  # it was checked before it got this name
                return
            # Other processes of this host may fetch the same shard.
            part = path.with_name(f"{name}.{uuid.uuid4().hex}.part")
            found = ""
            with writing_to(self.folder):
                try:
                    for _ in range(_ATTEMPTS):
                        self.store.get({name: part})
                        with part.open("rb") as file:
                            found = hashlib.file_digest(file, "sha256").hexdigest()
                        if found == self.checksums.get(name):
                            os.replace(part, path)
                            return
                finally:
                    part.unlink(missing_ok=True)
        raise BucketError(
            f"{self.store.address}/{name} is damaged: its SHA-256 is {found}, and manifest.json "
            f"says {self.checksums.get(name, 'nothing')}; copy the dataset there again"
        )


class BucketRecords(Sequence[dict[str, Any]]):
    """The records of a split; a shard is fetched when the first of its records is read.

    Args:
        shards: the shards.
        split: the name of a split.
    """

    def __init__(self, shards: BucketShards, split: str):
        import tensorflow_datasets as tfds  # slow to import, and only readers need it

        self._shards, self._split = shards, split
        self._builder = tfds.builder_from_directory(shards.folder)
        files = self._builder.info.splits[split].file_instructions
        self._names = [pathlib.Path(file.filename).name for file in files]
        # Numbers of the first record of each shard, and at last that of all records.
        self._starts = list(itertools.accumulate((f.examples_in_shard for f in files), initial=0))
        self._opened: dict[int, Sequence[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: Any) -> Any:
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect.bisect_right(self._starts, index) - 1
        return self._open(shard)[index - self._starts[shard]]

    def _open(self, shard: int) -> Sequence[dict[str, Any]]:
        if shard not in self._opened:
            self._shards.fetch(self._names[shard])
            first, last = self._starts[shard : shard + 2]
            part = f"{self._split}[{first}:{last}]"
            self._opened[shard] = self._builder.as_data_source(part)
        return self._opened[shard]


@contextlib.contextmanager
def writing_to(folder: pathlib.Path) -> Iterator[None]:
    """Say in one line if a folder of the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise BucketError(
            f"{folder} cannot be written ({error.strerror}): shards are kept there; make room, or "
            f"choose another folder with {CACHE}=FOLDER"
        ) from None


def cache_folder() -> pathlib.Path:
    """Return the folder that keeps what was fetched."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get(CACHE) or home / "noise2map_jax")
