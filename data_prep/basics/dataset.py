"""What a builder hands to the writer: the scenes, and how to load a scene."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics.rejection import Rejection

IGNORE = 255  # The mask value of pixels that count neither in the loss nor in the metrics.
SPLITS = ("train", "val", "test")
TASKS = {"ss": ("image",), "cd": ("pre", "post"), "denoise": ("image",)}  # Image features.


@dataclass(frozen=True)
class Scene:
    """One picture of a piece of ground, or a pair of them: read at once, never divided.

    Attributes:
      name: Unique in its split; appears in the id of each record.
      split: train, val or test.
      index: Position in its split.
      height: Rows in pixels.
      width: Columns in pixels.
      files: Role (image, pre, post, mask, ...) -> path; empty for scenes that are drawn.
      window: (row, column) of its top-left pixel in its files; None: the scene is the whole files.
      place_name: Name of the place that it shows, see `reading/places.py`; None: no other scene is
        known to show the same place.
    """

    name: str
    split: str
    index: int
    height: int
    width: int
    files: Mapping[str, Path] = field(default_factory=dict)
    window: tuple[int, int] | None = None
    place_name: str | None = None

    @property
    def place(self) -> str:
        """Name of its place. Scenes of one place are no independent samples."""
        return self.place_name or f"{self.split}/{self.name}"


@dataclass(frozen=True)
class RecordFormat:
    """The shape of every record of a dataset.

    Attributes:
      task: ss, cd or denoise.
      tile_size: Side of the tiles in pixels.
      num_bands: Bands of each image.
      dtype: Type of the images, uint8 or uint16.
      classes: Names of the classes; empty for denoise.
      first_change_class: For cd: this class and those after it are change, those before it are not.
    """

    task: str
    tile_size: int
    num_bands: int
    dtype: str
    classes: tuple[str, ...]
    first_change_class: int = 1

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the image features."""
        return TASKS[self.task]

    @property
    def has_classes(self) -> bool:
        """Whether masks hold classes; else they are 0 where there is image and 255 elsewhere."""
        return self.task != "denoise"


@dataclass(frozen=True)
class Dataset:
    """Everything the writer needs to know about a dataset.

    Attributes:
      name: Snake case; the folder's name and the TFDS name.
      format: The shape of every record.
      scenes: All scenes in the order in which they are written, split by split.
      load: Scene -> {feature: [H, W, C]}; `mask` holds class indices (0 if there are no classes)
        and 255 where there is no image or the class is unknown. Raises `Unusable` if a file of the
        scene turns out to be damaged. Must be picklable.
      about: Further entries of the manifest, `places_known` and `place_rule` among them.
      source: Folder that paths in the manifest are relative to; None: no files are read.
      num_found: Number of source files found.
      rejected: Source files that are rejected before any scene is loaded.
      on_error: fail or skip: what to do if files cannot be used.
    """

    name: str
    format: RecordFormat
    scenes: tuple[Scene, ...]
    load: Callable[[Scene], Mapping[str, np.ndarray]]
    about: Mapping[str, Any]
    source: Path | None = None
    num_found: int = 0
    rejected: tuple[Rejection, ...] = ()
    on_error: str = "fail"


def in_order(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Sort scenes by split and name, and number them within their splits."""
    ordered: list[Scene] = []
    for split in SPLITS:
        chosen = sorted((s for s in scenes if s.split == split), key=lambda scene: scene.name)
        ordered += [replace(scene, index=index) for index, scene in enumerate(chosen)]
    return tuple(ordered)
