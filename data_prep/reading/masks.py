"""Turns mask values into class indices (pure)."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.basics.dataset import IGNORE
from data_prep.basics.errors import UserError
from data_prep.imagery.bands import MaskRaster

ENCODINGS = ("index", "binary255", "nonzero")
THRESHOLD = 127  # binary255: values above it are the foreground.
_NEAR = 16  # Values this close to 0 or 255 count as a noisy 0 or 255.
_MAX_BETWEEN = 0.01  # Largest share of other values in a blurred or compressed mask.
_MIN_FOREGROUND = 0.01  # With fewer small values per 255, they are slips rather than classes.


def decide_encoding(histogram: np.ndarray, num_classes: int) -> str:
    """Decide how all masks of a dataset are encoded.

    Args:
      histogram: Number of pixels of each value over all masks, [256], but those known to hold class
        indices.
      num_classes: Number of classes.

    Returns:
      "index" (0 .. num_classes - 1 are the classes, 255 is ignore) or "binary255" (two classes,
      0 and 255, threshold above 127).

    Raises:
      UserError: The values fit both encodings.
    """
    present = set(np.flatnonzero(histogram).tolist())
    if num_classes != 2 or present <= {0, 1}:
        return "index"
    background = int(histogram[: _NEAR + 1].sum()) - int(histogram[0])
    foreground = int(histogram[IGNORE - _NEAR :].sum())
    # Blur and compression leave values near 255 as well; without these, small values are classes.
    if background and present <= {*range(_NEAR + 1), IGNORE}:
        small = sorted(present - {0, IGNORE})
        if background < _MIN_FOREGROUND * histogram[IGNORE]:
            raise UserError(
                f"the masks hold {background} pixels of {', '.join(map(str, small))} and"
                f" {histogram[IGNORE]} of 255: 255 may mean foreground or ignore; choose"
                " --mask_encoding=binary255 or --mask_encoding=index"
            )
        return "index"
    between = int(histogram[_NEAR + 1 : IGNORE - _NEAR].sum())
    is_binary = foreground > background and between <= _MAX_BETWEEN * int(histogram.sum())
    return "binary255" if is_binary else "index"


def check_alike(histograms: Mapping[str, np.ndarray], num_classes: int) -> None:
    """Refuse masks of 0 and 1 beside masks of 0 and 255: 255 may be the foreground, or ignore.

    Where one mask holds both, 255 is ignore.

    Args:
      histograms: Name of each mask (but those known to hold class indices) -> pixels of each
        value, [256].
      num_classes: Number of classes.

    Raises:
      UserError: The masks are of both kinds.
    """
    if num_classes != 2:
        return
    ones = [name for name, of in histograms.items() if of[1] and not of[2:].any()]
    high = [name for name, of in histograms.items() if of[IGNORE] and not of[1:IGNORE].any()]
    both = any(of[1] and of[IGNORE] for of in histograms.values())
    if ones and high and not both:
        raise UserError(
            f"{len(ones)} masks (such as {ones[0]}) hold 0 and 1, and {len(high)} (such as"
            f" {high[0]}) hold 0 and 255, which may mean foreground or ignore:"
            " --mask_encoding=nonzero takes both as foreground, --mask_encoding=index ignores 255"
        )


def wrong_values(histogram: np.ndarray, num_classes: int, encoding: str) -> list[int]:
    """Return the values of a mask that the dataset's encoding does not allow.

    Args:
      histogram: Number of pixels of each value, [256].
      num_classes: Number of classes.
      encoding: The encoding of the dataset.

    Returns:
      The values, ascending; empty if the mask is right.
    """
    if encoding != "index":
        return []
    known = {*range(num_classes), IGNORE}
    return [value for value in np.flatnonzero(histogram).tolist() if value not in known]


def check_encoding(encoding: str, histogram: np.ndarray, num_classes: int) -> None:
    """Refuse the encodings binary255 and nonzero if classes or values contradict them.

    Args:
      encoding: The encoding that the user asked for.
      histogram: Number of pixels of each value over all masks, [256].
      num_classes: Number of classes.

    Raises:
      UserError: There are not two classes, or no value is above the threshold.
    """
    if encoding == "index":
        return
    if num_classes != 2:
        raise UserError(
            f"--mask_encoding={encoding} has two classes, but --classes names {num_classes}"
        )
    if encoding == "nonzero":
        return
    if histogram[1 : THRESHOLD + 1].any() and not histogram[THRESHOLD + 1 :].any():
        largest = np.flatnonzero(histogram)[-1]
        raise UserError(
            f"--mask_encoding=binary255 takes values above {THRESHOLD} as foreground, but the"
            f" largest value of the masks is {largest}: use --mask_encoding=index"
        )


def to_index(mask: MaskRaster, encoding: str, num_classes: int, missing: int) -> np.ndarray:
    """Convert the values of a mask file to class indices.

    Args:
      mask: The mask as stored.
      encoding: The encoding of the dataset.
      num_classes: Number of classes.
      missing: Class of pixels without data: 255 = ignore, or a class.

    Returns:
      [H, W, 1] uint8, class indices and 255 = ignore.
    """
    values = mask.values
    if encoding != "index" and not mask.is_index:
        values = (values > (THRESHOLD if encoding == "binary255" else 0)).astype(np.uint8)
    absent = is_missing(mask, num_classes)
    return (values if absent is None else np.where(absent, np.uint8(missing), values))[..., None]


def is_missing(mask: MaskRaster, num_classes: int) -> np.ndarray | None:
    """Return [H, W] bool, True for pixels without data: None if there are none.

    These are NaN and the declared no-data value, unless that is the value of a class: programs
    declare 0, 1 or 255 as no-data of masks without meaning it.
    """
    absent = mask.missing
    if mask.nodata is not None and num_classes <= mask.nodata < IGNORE:
        declared = mask.values == mask.nodata
        if declared.any():
            absent = declared if absent is None else absent | declared
    return absent


def describe(histogram: np.ndarray, encoding: str, classes: Sequence[str]) -> str:
    """Say in words how the masks are encoded."""
    if encoding == "index":
        return f"index (0 to {len(classes) - 1}, 255 = ignore)"
    if encoding == "nonzero":
        return f"nonzero (0 = {classes[0]}, all other values = {classes[1]})"
    strays = int(histogram.sum() - histogram[0] - histogram[IGNORE])
    note = f"; {strays} pixels are neither" if strays else ""
    return f"binary255 (0 = {classes[0]}, 255 = {classes[1]}, threshold > {THRESHOLD}{note})"
