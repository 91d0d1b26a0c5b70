"""`manifest.json`: what a dataset holds, where it comes from, and what was rejected and why."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.dataset import IGNORE, Dataset, RecordFormat
from data_prep.errors import UserError
from data_prep.records import SceneRecords

VERSION = "1.0.0"
FILE_NAME = "manifest.json"


class Tally:
    """Sums the counts of each split while its scenes pass by."""

    def __init__(self, layout: RecordFormat) -> None:
        self._layout = layout
        self._scenes: dict[str, list[str]] = defaultdict(list)
        self._num_records: dict[str, int] = defaultdict(int)
        self._num_with_change: dict[str, int] = defaultdict(int)
        self._ignore_pixels: dict[str, int] = defaultdict(int)
        self._class_pixels: dict[str, np.ndarray] = defaultdict(
            lambda: np.zeros(len(layout.classes), np.int64)
        )

    def add(self, result: SceneRecords) -> None:
        """Count one scene."""
        split = result.scene.split
        self._scenes[split].append(result.scene.name)
        self._num_records[split] += len(result.records)
        self._num_with_change[split] += result.num_with_change
        self._ignore_pixels[split] += result.ignore_pixels
        self._class_pixels[split] += result.class_pixels

    def splits(self) -> dict[str, dict[str, Any]]:
        """Return the entries of the manifest's `splits`."""
        entries: dict[str, dict[str, Any]] = {}
        for split, scenes in self._scenes.items():
            entry: dict[str, Any] = {
                "num_scenes": len(scenes),
                "num_records": self._num_records[split],
            }
            if self._layout.has_mask:
                entry["class_pixels"] = self._class_pixels[split].tolist()
                entry["ignore_pixels"] = self._ignore_pixels[split]
            if self._layout.task == "cd":
                entry["num_with_change"] = self._num_with_change[split]
            entries[split] = entry | {"scenes": scenes}
        return entries


def make(dataset: Dataset, splits: Mapping[str, Any]) -> dict[str, Any]:
    """Compose the manifest of a dataset from its plan and the counts of its splits."""
    layout = dataset.format
    return {
        "name": dataset.name,
        "version": VERSION,
        "task": layout.task,
        "tile_size": layout.tile_size,
        "num_bands": layout.num_bands,
        "dtype": layout.dtype,
        "classes": list(layout.classes),
        "ignore_value": IGNORE,
        **dataset.about,
        "splits": dict(splits),
    }


def version_dir(data_dir: Path, name: str) -> Path:
    """Return the folder of a dataset's shards."""
    return data_dir / name / VERSION


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest into a folder that is not yet in its place."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a version folder.

    Args:
      folder: SHARDS/NAME/1.0.0.

    Returns:
      The manifest; None where there is none, so where there is no whole dataset.

    Raises:
      UserError: The file is no manifest.
    """
    path = folder / FILE_NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path}: not a manifest ({error}); --overwrite builds again") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: not a manifest; --overwrite builds again")
    return manifest


def summary(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return the closing lines of a build: counts and class fractions of each split."""
    lines = [f"{manifest['name']} ({manifest['task']}, {manifest['source']}) -> {folder}"]
    for split, entry in manifest["splits"].items():
        line = f"  {split:5s} {entry['num_scenes']:6d} scenes {entry['num_records']:7d} records"
        lines.append(line + _fractions(manifest["classes"], entry))
    rejected = len(manifest["rejected"])
    if manifest["found"]:
        lines.append(
            f"  files: {manifest['used']} used + {rejected} rejected = {manifest['found']} found"
        )
    return "\n".join(lines)


def _fractions(classes: Iterable[str], entry: Mapping[str, Any]) -> str:
    if "class_pixels" not in entry:
        return ""
    valid = sum(entry["class_pixels"])
    ignored = entry["ignore_pixels"]
    parts = [
        f"{name} {pixels / max(valid, 1):.4f}"
        for name, pixels in zip(classes, entry["class_pixels"], strict=True)
    ]
    parts.append(f"ignored {ignored / (valid + ignored):.4f} of all pixels")
    if "num_with_change" in entry:
        parts.append(f"{entry['num_with_change']} records with change")
    return ", " + ", ".join(parts)
