"""Counts what is written, split by split, and which files are used, scene after scene."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics import rejection
from data_prep.basics.dataset import Dataset, RecordFormat
from data_prep.basics.rejection import Rejection
from data_prep.shards import histograms
from data_prep.shards.records import SceneRecords


class Tally:
    """Sums the counts of each split, and keeps account of every file.

    Attributes:
      used: Files of the scenes that were written.
      reasons: File at fault -> why.
      partners: Other file of a rejected scene -> the file at fault in that scene.
    """

    def __init__(self, layout: RecordFormat) -> None:
        self.used: set[Path] = set()
        self.reasons: dict[Path, str] = {}
        self.partners: dict[Path, Path] = {}
        self._layout = layout
        self._scenes: dict[str, list[str]] = defaultdict(list)
        self._places: dict[str, list[str]] = defaultdict(list)
        self._scene_records: dict[str, list[int]] = defaultdict(list)
        self._rejected_scenes: dict[str, list[str]] = defaultdict(list)
        self._num_with_change: dict[str, int] = defaultdict(int)
        self._ignore_pixels: dict[str, int] = defaultdict(int)
        self._class_pixels: dict[str, np.ndarray] = defaultdict(
            lambda: np.zeros(len(layout.classes), np.int64)
        )
        self._band_counts: dict[str, np.ndarray] = defaultdict(
            lambda: histograms.zeros(layout.num_bands, layout.dtype)
        )

    def add(self, result: SceneRecords) -> None:
        """Count a scene, or note why it is left out."""
        split, files = result.scene.split, result.scene.files.values()
        if result.reasons:
            self._rejected_scenes[split].append(result.scene.name)
            cause = next(iter(result.reasons))
            for path, reason in result.reasons.items():
                self.reasons.setdefault(path, reason)
            for path in files:
                self.partners.setdefault(path, cause)
            return
        self.used.update(files)
        self._scenes[split].append(result.scene.name)
        self._places[split].append(result.scene.place)
        self._scene_records[split].append(len(result.records))
        self._num_with_change[split] += result.num_with_change
        self._ignore_pixels[split] += result.ignore_pixels
        self._class_pixels[split] += result.class_pixels
        self._band_counts[split] += result.band_counts

    def to_json(self) -> dict[str, Any]:
        """Return all counts in a form that JSON can hold."""
        return {
            "used": sorted(map(str, self.used)),
            "reasons": {str(path): reason for path, reason in self.reasons.items()},
            "partners": {str(path): str(cause) for path, cause in self.partners.items()},
            "scenes": dict(self._scenes),
            "rejected_scenes": dict(self._rejected_scenes),
            "places": dict(self._places),
            "scene_records": dict(self._scene_records),
            "num_with_change": dict(self._num_with_change),
            "ignore_pixels": dict(self._ignore_pixels),
            "class_pixels": {split: n.tolist() for split, n in self._class_pixels.items()},
            "band_counts": {s: histograms.to_json(n) for s, n in self._band_counts.items()},
        }

    def merge(self, part: Mapping[str, Any]) -> None:
        """Add the counts of another tally, given by its `to_json`.

        Tallies merged in the order of their scenes equal one tally of all scenes.
        """
        self.used.update(map(Path, part["used"]))
        for path, reason in part["reasons"].items():
            self.reasons.setdefault(Path(path), reason)
        for path, cause in part["partners"].items():
            self.partners.setdefault(Path(path), Path(cause))
        for split, names in part["scenes"].items():
            self._scenes[split] += names
            self._places[split] += part["places"][split]
            self._scene_records[split] += part["scene_records"][split]
        for split, names in part["rejected_scenes"].items():
            self._rejected_scenes[split] += names
        for counts, summed in (
            ("num_with_change", self._num_with_change),
            ("ignore_pixels", self._ignore_pixels),
        ):
            for split, number in part[counts].items():
                summed[split] += number
        for split, pixels in part["class_pixels"].items():
            self._class_pixels[split] += np.array(pixels, np.int64)
        for split, counts_of_bands in part["band_counts"].items():
            histograms.add_json(self._band_counts[split], counts_of_bands)

    def splits(self) -> dict[str, dict[str, Any]]:
        """Return the entries of the manifest's `splits`."""
        entries: dict[str, dict[str, Any]] = {}
        for split, scenes in self._scenes.items():
            entry: dict[str, Any] = {
                "num_scenes": len(scenes),
                "num_places": len(set(self._places[split])),
                "num_records": sum(self._scene_records[split]),
            }
            if self._layout.has_classes:
                entry["class_pixels"] = self._class_pixels[split].tolist()
            entry["ignore_pixels"] = self._ignore_pixels[split]
            if self._layout.task == "cd":
                entry["num_with_change"] = self._num_with_change[split]
            entry["bands"] = histograms.statistics(self._band_counts[split])
            entry["scenes"] = scenes
            entry["places"] = self._places[split]
            entry["scene_records"] = self._scene_records[split]
            if self._rejected_scenes[split]:
                entry["rejected_scenes"] = self._rejected_scenes[split]
            entries[split] = entry
        return entries

    def num_used(self) -> int:
        """Number of files that were used; a file that is at fault in any scene does not count."""
        return len(self.used - self.reasons.keys())

    def rejections(self, dataset: Dataset) -> tuple[Rejection, ...]:
        """Return all files that were not used, first those rejected before writing began."""
        if dataset.source is None:  # The scenes have no files.
            return dataset.rejected
        of_scenes = rejection.account(dataset.source, self.reasons, self.partners, self.used)
        return (*dataset.rejected, *of_scenes)
