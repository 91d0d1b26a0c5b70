"""The files of one xBD scene -> what they hold, and the arrays of its records."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.builders import xbd_labels
from data_prep.ground.dataset import IGNORE, Scene
from data_prep.ground.errors import UserError
from data_prep.ground.rejection import Unusable
from data_prep.reading import masks
from data_prep.reading.matching import Candidate
from data_prep.reading.rasters import resize_image, resize_mask
from data_prep.reading.readers import ReadError, read_image, read_mask, read_size

NUM_LEVELS = 5  # 0 = no building, then the levels of xbd_labels.
# target -> what masks may be said to tell; for buildings it makes no difference.
_MASK_VALUES = {"buildings": (), "damage": ("levels", "change"), "damage_levels": ("levels",)}
POLYGONS = "polygons"  # The encoding of labels; those of masks are masks.ENCODINGS.


@dataclass(frozen=True)
class Facts:
    """What the files of a scene hold.

    Attributes:
      height: Rows of its images.
      width: Columns.
      reasons: Files that cannot be used -> why.
      has_truth: Whether there is a label or a mask.
      counts: Polygons of the label, in all and by what a user may want to know of them.
      histogram: Pixels of each value of a mask that has more than one bit a pixel, [256].
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
      is_binary: Masks know two values, no levels.
      classes: Level, or 0 and 1 where it is binary -> class; 255 may become one, too. [256] uint8.
    """

    encoding: str
    with_damage: bool
    is_binary: bool
    classes: np.ndarray

    def complaints(self, candidate: Candidate, facts: Facts) -> dict[Path, str]:
        """Return the files of a scene that cannot be used, with the reasons."""
        reasons = dict(facts.reasons)
        if facts.histogram is not None and "mask" in candidate.files:
            number = 2 if self.is_binary else NUM_LEVELS
            if wrong := masks.wrong_values(facts.histogram, number, self.encoding):
                values = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
                reasons[candidate.files["mask"]] = (
                    f"holds value(s) {values}; the masks hold 0 to {number - 1} and 255 = ignore"
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
      resize: Side of the scene; 0: that of its images.
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
                    f"has {sizes[path][1]} x {sizes[path][0]} pixels, {other.name} has"
                    f" {width} x {height}"
                )
            elif resize and height != width:
                reasons[path] = (
                    f"has {width} x {height} pixels; --resize={resize} takes squares, 0 any size"
                )
            elif role == "mask":
                mask = read_mask(path)
                if not mask.is_boolean:
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
      facts: Of all scenes.
      truth: labels or masks.
      target: buildings, damage or damage_levels.
      mask_encoding: auto, index or binary255.
      mask_values: What the masks tell: levels, change (of two values), or auto: levels where any
        mask holds 2 to 4.
      class_of_level: Class of each of the levels 0 to 4.

    Raises:
      UserError: The masks' encoding or what they tell is ambiguous, or they do not hold what the
        target needs.
    """
    classes = np.full(256, IGNORE, np.uint8)
    classes[:NUM_LEVELS] = class_of_level
    with_damage = target != "buildings"
    if mask_values not in ("auto", *_MASK_VALUES[target]):
        known = " or ".join(("auto", *_MASK_VALUES[target]))
        raise UserError(f"--mask_values={mask_values}: --target={target} takes {known}")
    if truth == "labels":
        if mask_values != "auto":
            raise UserError(f"--mask_values={mask_values} is for masks, the source has labels")
        return Reading(POLYGONS, with_damage, False, classes)
    histogram = np.zeros(256, np.int64)
    for one in facts:
        if one.histogram is not None:
            histogram += one.histogram
    encoding = mask_encoding
    if encoding == "auto":
        encoding = masks.decide_encoding(histogram, 2)
    masks.check_encoding(encoding, histogram, 2)
    has_levels = encoding != "binary255" and bool(histogram[2:NUM_LEVELS].any())
    if target == "damage" and mask_values == "auto" and not has_levels:
        raise UserError(
            f"--target=damage: the masks hold {_told(histogram, encoding)} alone, which may mark"
            " all buildings or those that changed: --mask_values=change takes them as change,"
            " levels as intact buildings"
        )
    if mask_values == "levels" and encoding == "binary255":
        raise UserError("--mask_values=levels: the masks hold 0 and 255, not levels 0 to 4")
    if target == "damage_levels" and mask_values == "auto" and not has_levels:
        raise UserError(
            "--target=damage_levels: the masks hold two values, no levels 0 to 4; labels do"
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
    """Read the files of a scene, at its size.

    Args:
      reading: How its label or mask is read.
      scene: What to read; its height and width may differ from those of its files.

    Returns:
      {feature: [H, W, C] uint8}; the mask is 255 where an image has no data.

    Raises:
      Unusable: A file cannot be read.
    """
    height, width = scene.height, scene.width
    arrays: dict[str, np.ndarray] = {}
    levels = np.zeros((height, width), np.uint8)  # What has no mask file has no buildings.
    invalid = np.zeros((height, width), bool)
    rows = columns = 0
    for role, path in scene.files.items():
        try:
            if role != "mask":
                image = read_image(path)
                if image.pixels.shape[-1] != 3 or image.pixels.dtype != np.uint8:
                    kind = f"{image.pixels.shape[-1]} band(s) of {image.pixels.dtype}"
                    raise ReadError(f"has {kind}; three of uint8 are expected")
                rows, columns = image.pixels.shape[:2]
                arrays[role] = resize_image(image.pixels, height, width)
                if image.valid is not None:
                    invalid |= resize_mask(~image.valid, height, width)
            elif path.suffix == ".json":
                label = xbd_labels.read(path, rows, columns, with_damage=reading.with_damage)
                levels = xbd_labels.draw(label.footprints, height, width, columns / width)
            else:
                mask = read_mask(path)
                values = masks.to_index(mask.values, reading.encoding, mask.is_boolean)
                levels = resize_mask(values[..., 0], height, width)
        except ReadError as error:
            raise Unusable({path: str(error)}) from error
    arrays["mask"] = np.where(invalid, np.uint8(IGNORE), reading.classes[levels])[..., None]
    return arrays
