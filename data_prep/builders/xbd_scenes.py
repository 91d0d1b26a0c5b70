"""Inspects the files of an xBD scene, and reads them as arrays."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.basics.dataset import IGNORE, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Unusable
from data_prep.builders import xbd_labels
from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import apart, difference
from data_prep.imagery.image_file import read_image, read_size
from data_prep.imagery.mask_file import read_mask
from data_prep.reading import masks
from data_prep.reading.matching import Candidate
from data_prep.reading.rasters import resize_image, resize_mask

# Pixels that the dates of a scene may lie apart: the owner's chips are registered to a few pixels,
# and footprints are given in pixels of each.
_FARTHEST = 5.0
NUM_LEVELS = 5  # 0 = no building, then the levels of xbd_labels.
# target -> allowed values of --mask_values besides auto; for buildings they make no difference.
_MASK_VALUES = {"buildings": (), "damage": ("levels", "change"), "damage_levels": ("levels",)}
POLYGONS = "polygons"  # The encoding of labels; those of masks are masks.ENCODINGS.


@dataclass(frozen=True)
class Facts:
    """What the files of a scene hold.

    Attributes:
      height: Rows of its images.
      width: Columns.
      reasons: File that cannot be used -> why.
      has_truth: Whether there is a label or a mask.
      counts: Number of polygons in the label: all, and those of each kind that a note mentions.
      histogram: Number of pixels of each value, [256], of a mask with more than one bit a pixel.
    """

    height: int
    width: int
    reasons: Mapping[Path, str] = field(default_factory=dict)
    has_truth: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    histogram: np.ndarray | None = None


@dataclass(frozen=True)
class Reading:
    """How the labels or masks of a dataset become class indices.

    Attributes:
      encoding: POLYGONS, or the encoding of masks.
      with_damage: Whether a label must give every building's damage.
      is_binary: Whether masks have two values instead of levels.
      classes: [256] uint8: level, or 0 and 1 if masks are binary -> class. 255 may become a class,
        too.
    """

    encoding: str
    with_damage: bool
    is_binary: bool
    classes: np.ndarray

    def complaints(self, candidate: Candidate, facts: Facts) -> dict[Path, str]:
        """Return the files of a scene that cannot be used -> why."""
        reasons = dict(facts.reasons)
        if facts.histogram is not None and "mask" in candidate.files:
            number = 2 if self.is_binary else NUM_LEVELS
            if wrong := masks.wrong_values(facts.histogram, number, self.encoding):
                values = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
                reasons[candidate.files["mask"]] = (
                    f"holds value(s) {values}; expected 0 to {number - 1} and 255 = ignore"
                    " (see --mask_encoding)"
                )
        return reasons

    def describe(self) -> str:
        """Return in words where the masks come from."""
        if self.encoding == POLYGONS:
            return "polygons of the labels, drawn by pixel centres"
        values = "0 and 1" if self.is_binary else "levels 0 to 4"
        return "0 and 255" if self.encoding == "binary255" else f"{values}, 255 = ignore"


def inspect(with_damage: bool, resize: int, candidate: Candidate) -> Facts:
    """Read the headers of a scene's images, and its label or mask.

    Args:
      with_damage: Whether a label must give every building's damage.
      resize: Side in pixels to resize the scene to; 0: keep its size.
      candidate: The scene.
    """
    reasons: dict[Path, str] = {}
    sizes: dict[Path, tuple[int, int]] = {}
    counts: Counter[str] = Counter()
    histogram = None
    for role, path in candidate.files.items():  # The images come before the mask.
        try:
            if role == "mask" and path.suffix == ".json":
                if sizes:
                    height, width = next(iter(sizes.values()))
                    counts = _count(xbd_labels.read(path, height, width, with_damage=with_damage))
                continue
            sizes[path] = read_size(path)
            other, (height, width) = next(iter(sizes.items()))
            if sizes[path] != (height, width):
                reasons[path] = (
                    f"has {sizes[path][1]} x {sizes[path][0]} pixels, but {other.name} has"
                    f" {width} x {height}"
                )
            elif resize and height != width:
                reasons[path] = (
                    f"has {width} x {height} pixels; --resize={resize} takes only squares, 0 any"
                    " size"
                )
            elif (distance := apart(read_grid(other), read_grid(path))) > _FARTHEST:
                reasons[path] = (
                    f"lies up to {distance:.1f} pixels off {other.name}:"
                    f" {difference(read_grid(other), read_grid(path))}"
                )
            elif role == "mask":
                mask = read_mask(path)
                if not mask.is_index:
                    histogram = np.bincount(mask.values.ravel(), minlength=256)
        except ReadError as error:
            reasons[path] = str(error)
    height, width = next(iter(sizes.values()), (0, 0))
    return Facts(height, width, reasons, "mask" in candidate.files, counts, histogram)


def _count(label: xbd_labels.Label) -> Counter[str]:
    return Counter(
        {
            "polygons": len(label.footprints),
            "crossed themselves": label.num_repaired,
            "have no area": label.num_without_area,
            "lie outside their image": label.num_outside,
            "are un-classified": sum(level == IGNORE for _, level in label.footprints),
        }
    )


def decide(
    facts: Iterable[Facts],
    truth: str,
    target: str,
    mask_encoding: str,
    mask_values: str,
    class_of_level: Sequence[int],
) -> Reading:
    """Decide how labels or masks are read, the same way for all scenes.

    Args:
      facts: Facts of all scenes.
      truth: labels or masks.
      target: buildings, damage or damage_levels.
      mask_encoding: auto, index, binary255 or nonzero.
      mask_values: What the mask values mean: levels, change (two values), or auto: levels if any
        mask holds 2 to 4.
      class_of_level: Class of each of the levels 0 to 4.

    Raises:
      UserError: The encoding or the meaning of the masks is ambiguous, or the masks do not hold
        what the target needs.
    """
    classes = np.full(256, IGNORE, np.uint8)
    classes[:NUM_LEVELS] = class_of_level
    with_damage = target != "buildings"
    if mask_values not in ("auto", *_MASK_VALUES[target]):
        known = " or ".join(("auto", *_MASK_VALUES[target]))
        raise UserError(f"--mask_values={mask_values}: --target={target} takes {known}")
    if truth == "labels":
        if mask_values != "auto":
            raise UserError(f"--mask_values={mask_values} is for masks, but the source has labels")
        return Reading(POLYGONS, with_damage, False, classes)
    histogram = np.zeros(256, np.int64)
    for one in facts:
        if one.histogram is not None:
            histogram += one.histogram
    encoding = mask_encoding
    if encoding == "auto":
        encoding = masks.decide_encoding(histogram, 2)
    masks.check_encoding(encoding, histogram, 2)
    has_levels = encoding == "index" and bool(histogram[2:NUM_LEVELS].any())
    if target == "damage" and mask_values == "auto" and not has_levels:
        raise UserError(
            f"--target=damage: the masks hold only {_told(histogram, encoding)}, which may mark all"
            " buildings or only the damaged ones: --mask_values=change takes them as change,"
            " --mask_values=levels as intact buildings"
        )
    if mask_values == "levels" and encoding != "index":
        held = "0 and 255" if encoding == "binary255" else "two values"
        raise UserError(f"--mask_values=levels: the masks hold {held}, not levels 0 to 4")
    if target == "damage_levels" and mask_values == "auto" and not has_levels:
        raise UserError(
            "--target=damage_levels: the masks hold two values, not levels 0 to 4; use labels"
        )
    is_binary = mask_values == "change" or (mask_values == "auto" and not has_levels)
    if is_binary:
        classes[1] = 1
    return Reading(encoding, with_damage, is_binary, classes)


def _told(histogram: np.ndarray, encoding: str) -> str:
    if encoding == "binary255":
        return "0 and 255"
    return " and ".join(map(str, np.flatnonzero(histogram))) or "one bit a pixel"


def load(reading: Reading, scene: Scene) -> dict[str, np.ndarray]:
    """Read the files of a scene, and resize them to its size.

    Args:
      reading: How its label or mask is read.
      scene: The scene; its height and width may differ from those of its files.

    Returns:
      {feature: [H, W, C] uint8}; the mask is 255 where an image has no data.

    Raises:
      Unusable: A file cannot be read.
    """
    height, width = scene.height, scene.width
    arrays: dict[str, np.ndarray] = {}
    levels = np.zeros((height, width), np.uint8)  # A scene without a mask file has no buildings.
    invalid = np.zeros((height, width), bool)
    rows = columns = 0
    for role, path in scene.files.items():
        try:
            if role != "mask":
                image = read_image(path)
                if image.pixels.shape[-1] != 3 or image.pixels.dtype != np.uint8:
                    kind = f"{image.pixels.shape[-1]} band(s) of {image.pixels.dtype}"
                    raise ReadError(f"has {kind}; expected three of uint8")
                rows, columns = image.pixels.shape[:2]
                arrays[role] = resize_image(image.pixels, height, width)
                if image.valid is not None:
                    invalid |= resize_mask(~image.valid, height, width)
            elif path.suffix == ".json":
                label = xbd_labels.read(path, rows, columns, with_damage=reading.with_damage)
                levels = xbd_labels.draw(label.footprints, height, width, columns / width)
            else:
                mask = read_mask(path)
                values = masks.to_index(mask, reading.encoding, NUM_LEVELS, IGNORE)
                absent = masks.is_missing(mask, NUM_LEVELS)
                if absent is not None:
                    invalid |= resize_mask(absent, height, width)
                levels = resize_mask(values[..., 0], height, width)
        except ReadError as error:
            raise Unusable({path: str(error)}) from error
    arrays["mask"] = np.where(invalid, np.uint8(IGNORE), reading.classes[levels])[..., None]
    return arrays
