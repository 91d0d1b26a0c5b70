"""A share of the training scenes: how well a network learns from fewer labels."""

import dataclasses
from collections import Counter
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


@dataclasses.dataclass(frozen=True)
class SceneShare:
    """Which of the training scenes a network learns from.

    Attributes:
        share: share of the scenes that have records, above 0, at most 1; at least one is drawn.
        by_place: whether the places give one scene each in turn, until the share is full; else
            scenes are drawn from all, so a place with many scenes gives many.
        seed: seed of the draw; datasets with the same scenes draw the same ones, where places take
            turns if they have the same places, too.
    """

    share: float
    by_place: bool
    seed: int

    def scenes(self, dataset: Dataset) -> np.ndarray:
        """Draw the scenes: [M] int64, their numbers.

        Raises:
            UserError: the manifest does not tell scenes apart.
        """
        records = dataset.scene_records("train")
        places = dataset.scene_places("train") if self.by_place else None
        return scenes_of_share(records, self.share, self.seed, places)

    def source(self, dataset: Dataset) -> Sequence[Any]:
        """Open the records of the scenes; raises as `scenes` does, unless the share is 1."""
        source = dataset.source("train")
        return source if self.share == 1 else SomeRecords(source, self._records(dataset))

    def places(self, dataset: Dataset) -> list[str]:
        """Return the place of each record of `source`, in the same order; raises as `scenes`."""
        places = dataset.record_places("train")
        return places if self.share == 1 else [places[i] for i in self._records(dataset)]

    def _records(self, dataset: Dataset) -> np.ndarray:
        return records_of_scenes(dataset.scene_records("train"), self.scenes(dataset))


def scenes_of_share(
    scene_records: Sequence[int], share: float, seed: int, places: Sequence[str] | None = None
) -> np.ndarray:
    """Draw scenes of a split.

    What one seed draws for a smaller share is part of what it draws for a larger one.

    Args:
        scene_records: number of records of each scene, in the order of the records.
        share: share of the scenes that have records, above 0, at most 1; at least one is drawn.
        seed: seed of the draw.
        places: the place of each scene, where places take turns.

    Returns:
        [M] int64, numbers of the scenes.
    """
    scenes = np.random.default_rng(seed).permutation(np.flatnonzero(scene_records))
    if places is not None:
        drawn: Counter[str] = Counter()
        turns = []
        for scene in scenes:
            turns.append(drawn[places[scene]])
            drawn[places[scene]] += 1
        scenes = scenes[np.argsort(turns, kind="stable")]
    return scenes[: max(1, round(share * len(scenes)))]


def records_of_scenes(scene_records: Sequence[int], scenes: np.ndarray) -> np.ndarray:
    """Return the numbers of the records of some scenes, [N] int64, ascending."""
    last = np.cumsum(scene_records)
    first = last - scene_records
    return np.sort(np.concatenate([np.arange(first[s], last[s]) for s in scenes]))
