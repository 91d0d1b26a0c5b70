"""A prepared dataset on disk: its manifest, and its records shard by shard."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.basics.dataset import TASKS
from data_prep.basics.errors import UserError
from data_prep.basics.options import positive
from data_prep.shards import manifest
from data_prep.shards.shard_file import tfds


@dataclass(frozen=True)
class Shard:
    """One file of records, number `index` of its split."""

    split: str
    index: int


@dataclass(frozen=True)
class Prepared:
    """A complete dataset on disk.

    Attributes:
      folder: DATA_DIR/NAME/1.0.0.
      manifest: The content of the manifest.
      shards: Split -> number of records of each of its shards, as TFDS states them.
    """

    folder: Path
    manifest: Mapping[str, Any]
    shards: Mapping[str, tuple[int, ...]]

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the image features."""
        return TASKS[self.manifest["task"]]

    @property
    def has_classes(self) -> bool:
        """Whether masks hold classes; else they are 0 where there is image and 255 elsewhere."""
        return bool(self.manifest["task"] != "denoise")

    def every_shard(self) -> list[Shard]:
        """Return all shards in order."""
        return [
            Shard(split, index)
            for split, sizes in self.shards.items()
            for index in range(len(sizes))
        ]

    def num_records(self, shard: Shard) -> int:
        """Return the number of records of a shard."""
        return self.shards[shard.split][shard.index]

    def path(self, shard: Shard) -> Path:
        """Return the file of a shard."""
        number = len(self.shards[shard.split])
        name = f"{self.manifest['name']}-{shard.split}.array_record"
        return self.folder / f"{name}-{shard.index:05d}-of-{number:05d}"

    def records(self, shard: Shard) -> "Records":
        """Open a shard; its records are read and decoded one by one."""
        return Records(self, shard)


class Records:
    """The records of one shard by index, read through TFDS as training reads them."""

    def __init__(self, prepared: Prepared, shard: Shard) -> None:
        sizes = prepared.shards[shard.split]
        self._start = sum(sizes[: shard.index])
        self._number = sizes[shard.index]
        self._split = shard.split
        self._folder = prepared.folder
        self._source: Any = None

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self._number:
            raise IndexError(index)
        if self._source is None:
            self._source = tfds.builder_from_directory(self._folder).as_data_source(self._split)
        record: dict[str, Any] = self._source[self._start + index]
        return record

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(self._number))


def open_prepared(directory: Path) -> Prepared:
    """Open a dataset.

    Args:
      directory: DATA_DIR/NAME or DATA_DIR/NAME/1.0.0.

    Returns:
      The dataset; no shard has been opened.

    Raises:
      UserError: There is no complete dataset, or its manifest or TFDS's description is damaged.
    """
    for folder in (directory, directory / manifest.VERSION):
        content = manifest.read(folder)
        if content is not None:
            break
    else:
        raise UserError(
            f"{directory}: holds no complete dataset (no {manifest.FILE_NAME} in it or in its"
            f" {manifest.VERSION}); give DATA_DIR/NAME"
        )
    try:
        info = tfds.builder_from_directory(folder).info
        sizes = {split: tuple(info.splits[split].shard_lengths) for split in info.splits}
    # For a damaged JSON file TFDS raises nearly any exception type.
    except Exception as error:
        message = " ".join(str(error).split())
        raise UserError(
            f"{folder}: TFDS cannot open it ({type(error).__name__}: {message}); build it again"
        ) from error
    # TFDS sorts the splits by name; the manifest has train, val, test.
    order = [*content["splits"], *sorted(sizes.keys() - content["splits"].keys())]
    shards = {split: sizes[split] for split in order if split in sizes}
    return Prepared(folder, content, shards)


def add_arguments(parser: Any) -> None:
    """Add the arguments of every command on a prepared dataset."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="DATA_DIR/NAME")
    parser.add_argument(
        "--num_workers", type=positive, default=os.cpu_count() or 1, help="processes"
    )
