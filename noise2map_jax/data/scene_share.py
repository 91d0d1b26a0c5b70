"""A share of a split's scenes: how well a network learns from fewer labels."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


def records_of_share(scene_records: Sequence[int], share: float, seed: int) -> np.ndarray:
    """Draw scenes of a split, and return the numbers of their records.

    What one seed draws for a smaller share is part of what it draws for a larger one.

    Args:
        scene_records: number of records of each scene, in the order of the records.
        share: share of the scenes that have records, above 0, at most 1; at least one is drawn.
        seed: seed of the draw.

    Returns:
        [N] int64, ascending.
    """
    last = np.cumsum(scene_records)
    first = last - scene_records
    scenes = np.random.default_rng(seed).permutation(np.flatnonzero(scene_records))
    chosen = scenes[: max(1, round(share * len(scenes)))]
    return np.sort(np.concatenate([np.arange(first[s], last[s]) for s in chosen]))


@dataclasses.dataclass(frozen=True)
class SomeRecords(Sequence[Any]):
    """Those records of a source that have certain numbers."""

    source: Sequence[Any]
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        return self.source[int(self.numbers[index])]
