"""Cuts a scene into records: tiles with an id, and the counts that the manifest sums up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics import tiles
from data_prep.basics.dataset import IGNORE, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Unusable
from data_prep.imagery.edges import cut_mirrored
from data_prep.shards import histograms


@dataclass(frozen=True)
class SceneRecords:
    """The records of one scene.

    Attributes:
      scene: The scene that they were cut from.
      records: (id, {feature: array or value}).
      class_pixels: Number of pixels of each class, [K].
      ignore_pixels: Number of pixels with the ignore value, padding included.
      num_with_change: Number of records with at least one pixel of a class that is a change.
      band_counts: [C, V], see `histograms`: counts of the pixels whose mask is not the ignore
        value, both dates added up.
      reasons: File that cannot be used -> why; empty if the scene is good. A scene with reasons has
        no records.
    """

    scene: Scene
    records: list[tuple[str, dict[str, Any]]]
    class_pixels: np.ndarray
    ignore_pixels: int
    num_with_change: int
    band_counts: np.ndarray
    reasons: Mapping[Path, str] = field(default_factory=dict)


def scene_records(
    load: Callable[[Scene], Mapping[str, np.ndarray]], layout: RecordFormat, scene: Scene
) -> SceneRecords:
    """Load a scene and cut it into records, row by row.

    Args:
      load: Scene -> {feature: [H, W, C]}.
      layout: The shape of the dataset's records.
      scene: The scene to load.

    Returns:
      The scene's records and counts. The id of a record is "split/scene/rROW_cCOLUMN" with the
      position of its top-left pixel in the scene. A scene that cannot be used has reasons instead.
    """
    size, num_classes = layout.tile_size, len(layout.classes)
    band_counts = histograms.zeros(layout.num_bands, layout.dtype)
    try:
        arrays = load(scene)
    except Unusable as error:
        none = np.zeros(num_classes, np.int64)
        return SceneRecords(scene, [], none, 0, 0, band_counts, error.reasons)
    records: list[tuple[str, dict[str, Any]]] = []
    histogram = np.zeros(256, np.int64)
    num_with_change = 0
    for row, column in tiles.offsets(scene.height, scene.width, size):
        key = f"{scene.split}/{scene.name}/r{row:05d}_c{column:05d}"
        mask = tiles.cut(arrays["mask"], row, column, size, fill=IGNORE)
        record: dict[str, Any] = {"id": key, "place": scene.place, "mask": mask}
        inside = slice(row, row + size), slice(column, column + size)
        valid = arrays["mask"][inside][..., 0] != IGNORE
        for name in layout.images:
            assert arrays[name].shape == (scene.height, scene.width, layout.num_bands), scene.name
            record[name] = cut_mirrored(arrays[name], row, column, size)
            band_counts += histograms.count(arrays[name][inside], valid)
        counts = np.bincount(mask.ravel(), minlength=256)
        histogram += counts
        has_change = bool(counts[layout.first_change_class : num_classes].any())
        num_with_change += has_change
        if layout.task == "cd":
            record["has_change"] = has_change
        records.append((key, record))
    _check_classes(scene, histogram, num_classes)
    return SceneRecords(
        scene,
        records,
        histogram[:num_classes],
        int(histogram[IGNORE]),
        num_with_change,
        band_counts,
    )


def _check_classes(scene: Scene, histogram: np.ndarray, num_classes: int) -> None:
    """Refuse labels that are no class, for every builder."""
    outside = np.flatnonzero(histogram[:IGNORE]).tolist()
    outside = [value for value in outside if value >= max(num_classes, 1)]
    if outside:
        raise UserError(
            f"{scene.split}/{scene.name}: its mask holds {', '.join(map(str, outside[:5]))}; the"
            f" dataset has {num_classes} classes and 255 = ignore (--classes names more)"
        )
