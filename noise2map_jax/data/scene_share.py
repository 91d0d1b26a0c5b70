"""A share of the training scenes: how well a network learns from fewer labels."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from noise2map_jax.data.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class SomeRecords(Sequence[Any]):
    """Those records of a source that have certain numbers."""

    source: Sequence[Any]
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        return self.source[int(self.numbers[index])]


def train_source(dataset: Dataset, share: float, seed: int) -> Sequence[Any]:
    """Open the training records of a share of the scenes.

    Args:
        dataset: the dataset.
        share: share of the scenes that have records, above 0, at most 1.
        seed: seed of the draw; datasets with the same scenes draw the same ones.

    Raises:
        UserError: the manifest does not tell scenes apart.
    """
    source = dataset.source("train")
    if share == 1:
        return source
    return SomeRecords(source, records_of_share(dataset.scene_records("train"), share, seed))


def train_places(dataset: Dataset, share: float, seed: int) -> list[str]:
    """Return the place of each record of `train_source`, in the same order.

    Raises:
        UserError: the manifest does not tell scenes apart.
    """
    scene_records = dataset.scene_records("train")
    places = dataset.record_places("train")
    if share == 1:
        return places
    numbers = records_of_share(scene_records, share, seed)
    return [places[number] for number in numbers]


def scenes_of_share(scene_records: Sequence[int], share: float, seed: int) -> np.ndarray:
    """Draw scenes of a split.

    What one seed draws for a smaller share is part of what it draws for a larger one.

    Args:
        scene_records: number of records of each scene, in the order of the records.
        share: share of the scenes that have records, above 0, at most 1; at least one is drawn.
        seed: seed of the draw.

    Returns:
        [M] int64, numbers of the scenes.
    """
    scenes = np.random.default_rng(seed).permutation(np.flatnonzero(scene_records))
    return scenes[: max(1, round(share * len(scenes)))]


def records_of_share(scene_records: Sequence[int], share: float, seed: int) -> np.ndarray:
    """Return the numbers of the records of `scenes_of_share`, [N] int64, ascending."""
    last = np.cumsum(scene_records)
    first = last - scene_records
    drawn = scenes_of_share(scene_records, share, seed)
    return np.sort(np.concatenate([np.arange(first[s], last[s]) for s in drawn]))
