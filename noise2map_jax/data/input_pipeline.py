"""ArrayRecord -> Grain -> batches of host arrays.

The host only decodes. The seed and the step alone determine which record is in which row of a
global batch. A process reads the rows that lie on its own devices (`sharding.process_rows`). So a
run continues with the same batches after any interruption and on any number of hosts.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from noise2map_jax.data.dataset import record_id
from noise2map_jax.data.place_balance import balanced_order
from noise2map_jax.data.tile_position import tile_position

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class SelectArrays(grain.transforms.Map):
    """Keep only the arrays of a record that the step needs."""

    keys: tuple[str, ...]

    def map(self, element: Record) -> Record:
        """Drop everything else of a record."""
        return {key: element[key] for key in self.keys}


@dataclasses.dataclass(frozen=True)
class ReadPadded(grain.transforms.Map):
    """Index -> record; an index past the end gives a blank row, marked as not valid."""

    source: Sequence[Record]
    keys: tuple[str, ...]

    def map(self, element: int) -> Record:
        """Read a record or make a blank row, with `valid` and `index` to tell them apart."""
        valid = element < len(self.source)
        record = self.source[int(element) if valid else 0]
        arrays = {key: record[key] if valid else np.zeros_like(record[key]) for key in self.keys}
        counts = {"valid": np.bool_(valid), "index": np.int32(element if valid else -1)}
        return arrays | counts | tile_position(record_id(record))


@dataclasses.dataclass(frozen=True)
class RowsOfBatches(Sequence[Any]):
    """Chosen rows of every global batch that a sequence is cut into.

    Attributes:
        elements: the sequence; elements after the last full batch are left out.
        batch_size: rows of a global batch.
        rows: numbers of the rows to keep, in this order.
        first_batch: number of the batch to begin with.
    """

    elements: Sequence[Any]
    batch_size: int
    rows: tuple[int, ...]
    first_batch: int = 0

    def __len__(self) -> int:
        return (len(self.elements) // self.batch_size - self.first_batch) * len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        batch, row = divmod(int(index), len(self.rows))
        return self.elements[(self.first_batch + batch) * self.batch_size + self.rows[row]]


def train_batches(
    source: Sequence[Record],
    keys: tuple[str, ...],
    *,
    seed: int,
    batch_size: int,
    rows: Sequence[int],
    places: Sequence[str] = (),
    place_power: float = 1.0,
    first_step: int = 0,
    num_threads: int = 2,
    prefetch_size: int = 8,
) -> Iterator[Record]:
    """Iterate over shuffled training batches without end.

    Args:
        source: records by index.
        keys: the arrays to keep.
        seed: seed of the shuffling; each pass over the data, or round of its places, has its own
            order.
        batch_size: rows of a global batch, B.
        rows: the rows of each global batch to read.
        places: the place of each record, where `place_power` is not 1.
        place_power: how much the size of a place counts, see `place_balance`; 1 = records are
            drawn whatever their place.
        first_step: the step whose batch comes first.
        num_threads: threads that read and decode.
        prefetch_size: records decoded ahead.

    Returns:
        Batches of these rows, arrays [len(rows), ...]. A batch may span two passes over the data,
        so every batch is full.

    Raises:
        ValueError: `place_power` is not 1, and there is another number of places than of records.
    """
    if place_power == 1:
        order = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    else:
        order = balanced_order(source, places, place_power, seed)
    local = RowsOfBatches(order, batch_size, tuple(rows), first_step)
    return _read(local, SelectArrays(keys), num_threads, prefetch_size)


def eval_batches(
    source: Sequence[Record],
    keys: tuple[str, ...],
    *,
    batch_size: int,
    rows: Sequence[int],
    num_threads: int = 2,
    prefetch_size: int = 8,
) -> Iterator[Record]:
    """Iterate once over all records in order; blank rows fill up the last batch.

    Args:
        source: records by index.
        keys: the arrays to keep.
        batch_size: rows of a global batch, B.
        rows: the rows of each global batch to read.
        num_threads: threads that read and decode.
        prefetch_size: records decoded ahead.

    Returns:
        Batches of these rows, arrays [len(rows), ...]: those in `keys`, `valid` bool (False for
        blank rows), `index` int32 (number of the record; -1 for blank rows), and the tile's
        `scene`, `row` and `column` (see `tile_position`). Every process gets the same number of
        batches.
    """
    padded = -(-len(source) // batch_size) * batch_size
    local = RowsOfBatches(range(padded), batch_size, tuple(rows))
    return _read(local, ReadPadded(source, keys), num_threads, prefetch_size)


def _read(
    local: RowsOfBatches, transform: grain.transforms.Map, num_threads: int, prefetch_size: int
) -> Iterator[Record]:
    """Read the rows of each batch in their order, on several threads."""
    batches = (
        grain.MapDataset.source(local).map(transform).batch(len(local.rows), drop_remainder=True)
    )
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch_size)
    return iter(batches.to_iter_dataset(options))
