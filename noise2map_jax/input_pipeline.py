"""ArrayRecord -> Grain -> batches of host arrays.

The host only decodes. Which records a training batch holds is a function of the seed and the step
alone: process p of P reads rows [p * B / P, (p + 1) * B / P) of the global batch, so that a run
goes on with the same batches after any interruption and on any number of hosts.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class SelectArrays(grain.transforms.Map):
    """Keep the arrays that the step takes."""

    keys: tuple[str, ...]

    def map(self, element: Record) -> Record:
        """Drop everything else of a record."""
        return {key: element[key] for key in self.keys}


@dataclasses.dataclass(frozen=True)
class ReadPadded(grain.transforms.Map):
    """Index -> record; indices past the end give blank rows that count for nothing."""

    source: Sequence[Record]
    keys: tuple[str, ...]

    def map(self, element: int) -> Record:
        """Read a record, or make a blank one, and mark which it is."""
        valid = element < len(self.source)
        record = self.source[int(element) if valid else 0]
        arrays = {key: record[key] if valid else np.zeros_like(record[key]) for key in self.keys}
        return arrays | {"valid": np.bool_(valid), "index": np.int32(element if valid else -1)}


def train_batches(
    source: Sequence[Record],
    keys: tuple[str, ...],
    *,
    seed: int,
    batch_size: int,
    first_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int = 2,
    prefetch_size: int = 8,
) -> Iterator[Record]:
    """Iterate over shuffled training batches without end.

    Args:
        source: records by index.
        keys: the arrays to keep.
        seed: of the shuffling; each pass over the data has an order of its own.
        batch_size: rows of a global batch, B.
        first_step: the step whose batch comes first.
        process_index: p.
        process_count: P; divides B.
        num_threads: threads that read and decode.
        prefetch_size: records decoded ahead.

    Returns:
        Batches of this process's rows, arrays [B / P, ...]. Batches go across the ends of passes:
        every batch is full.
    """
    # Batches of B / P rows in global order, of which process p takes every P-th from the p-th:
    # so its rows are consecutive in the global batch, whatever P is.
    local = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    local = local.map(SelectArrays(keys)).batch(batch_size // process_count, drop_remainder=True)
    local = local[first_step * process_count + process_index :: process_count]
    return iter(local.to_iter_dataset(_read_options(num_threads, prefetch_size)))


def eval_batches(
    source: Sequence[Record],
    keys: tuple[str, ...],
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int = 2,
    prefetch_size: int = 8,
) -> Iterator[Record]:
    """Iterate once over all records in their order; the last batch is filled with blank rows.

    Args:
        source: records by index.
        keys: the arrays to keep.
        batch_size: rows of a global batch, B.
        process_index: p.
        process_count: P; divides B.
        num_threads: threads that read and decode.
        prefetch_size: records decoded ahead.

    Returns:
        Batches of this process's rows, arrays [B / P, ...]: the kept ones, `valid` bool (False for
        blank rows) and `index` int32 (of the record; -1 for blank rows). Every process gets the
        same number of batches.
    """
    padded = -(-len(source) // batch_size) * batch_size
    local = grain.MapDataset.range(padded).map(ReadPadded(source, keys))
    local = local.batch(batch_size // process_count, drop_remainder=True)
    local = local[process_index::process_count]
    return iter(local.to_iter_dataset(_read_options(num_threads, prefetch_size)))


def _read_options(num_threads: int, prefetch_size: int) -> grain.ReadOptions:
    return grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch_size)
