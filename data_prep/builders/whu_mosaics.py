"""Builds WHU change detection from its mosaics: divided by columns, read by windows."""

import argparse
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics.dataset import IGNORE, Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.parallel import ordered_map
from data_prep.basics.rejection import Unusable, check, listing
from data_prep.builders import plans, whu_areas, whu_layout
from data_prep.builders.whu_areas import Part
from data_prep.imagery.bands import MaskRaster, ReadError
from data_prep.imagery.image_file import read_image
from data_prep.imagery.mask_file import read_mask
from data_prep.imagery.turn import Window
from data_prep.reading import masks
from data_prep.reading.places import Places
from data_prep.shards import splits

CLASSES = ("no_change", "change")


def plan(args: argparse.Namespace, name: str, options: Mapping[str, Any]) -> Dataset:
    """Find the mosaics, read the labels once for their encoding, and lay windows over the areas.

    Args:
      args: The parsed options of `whu`.
      name: The dataset's name.
      options: Options that determine the records, for the manifest.

    Raises:
      UserError: The mosaics are incomplete, or (--on_error=fail) cannot be used.
    """
    found = whu_layout.find(args.source)
    check(found.rejected, found.num_found, args.on_error)
    if {part.name for part in found.parts} not in ({"mosaic"}, {"train", "test"}):
        raise UserError(f"mosaics cannot be used: {listing(found.rejected, found.num_found)}")
    histograms = _histograms(found.parts, args.num_workers)
    encodings: dict[Path, str] = {}
    for part in found.parts:
        label = part.files["mask"]
        encodings[label] = args.mask_encoding
        if args.mask_encoding == "auto":
            encodings[label] = masks.decide_encoding(histograms[label], len(CLASSES))
        masks.check_encoding(encodings[label], histograms[label], len(CLASSES))
        print(f"{part.name}: {masks.describe(histograms[label], encodings[label], CLASSES)}")
    scenes, rule, notes = _divide(found.parts, args)
    return plans.make(
        args,
        name,
        RecordFormat("cd", args.tile_size, 3, "uint8", CLASSES),
        scenes,
        functools.partial(load_window, encodings),
        options=options,
        layout=found.description,
        mask_encoding=_encoding_of_all(found.parts, encodings),
        split_rule=rule,
        places=Places({s.name: whu_areas.PLACE for s in scenes}, whu_areas.PLACE_RULE, known=True),
        notes=[*found.notes, *notes],
        rejected=found.rejected,
        num_found=found.num_found,
    )


def _encoding_of_all(parts: Sequence[Part], encodings: Mapping[Path, str]) -> str:
    each = {part.name: encodings[part.files["mask"]] for part in parts}
    if len(set(each.values())) == 1:
        return next(iter(each.values()))
    return ", ".join(f"{name}: {encoding}" for name, encoding in each.items())


def _divide(
    parts: Sequence[Part], args: argparse.Namespace
) -> tuple[list[Scene], str, tuple[str, ...]]:
    """Lay windows over the mosaics and give each its split; also return the rule and notes."""
    ground = whu_areas.without_shared_columns(parts)
    if args.split == "seeded":
        scenes = [s for area in ground.areas for s in whu_areas.tiles(area, args.tile_size)]
        split_of = splits.assign((scene.name for scene in scenes), args.splits, args.seed)
        scenes = [replace(scene, split=split_of[scene.name]) for scene in scenes]
        rule = whu_areas.seeded_rule("tiles", args.splits, args.seed)
        return scenes, rule, (*ground.notes, whu_areas.SEEDED_NOTE)
    areas, rule = whu_areas.by_columns(ground.areas, args.splits, args.tile_size)
    scenes = [scene for area in areas for scene in whu_areas.windows(area, args.tile_size)]
    return scenes, rule, ground.notes


def _histograms(parts: Sequence[Part], num_workers: int) -> dict[Path, np.ndarray]:
    """Count the values of each label by bands of rows; unreadable windows are skipped here."""
    items = [
        (part.files["mask"], window)
        for part in parts
        for window in whu_areas.bands(part.height, part.width)
    ]
    results = ordered_map(
        label_histogram,
        items,
        num_workers=num_workers,
        description="reading labels",
        unit="windows",
    )
    histograms = {part.files["mask"]: np.zeros(256, np.int64) for part in parts}
    for (path, _), histogram in zip(items, results, strict=True):
        histograms[path] += histogram
    return histograms


def label_histogram(item: tuple[Path, Window]) -> np.ndarray:
    """Count the values in a window of a label, [256]; all 0 for known class indices or damage."""
    path, window = item
    try:
        mask = read_mask(path, window)
    except ReadError:  # The loader will report it.
        return np.zeros(256, np.int64)
    if mask.is_index:
        return np.zeros(256, np.int64)
    return _histogram(_present(mask))


def _present(mask: MaskRaster) -> np.ndarray:
    """Return the values [H, W] with 255 = ignore where there is no data."""
    missing = masks.is_missing(mask, len(CLASSES))
    return mask.values if missing is None else np.where(missing, np.uint8(IGNORE), mask.values)


def _histogram(values: np.ndarray) -> np.ndarray:
    """Count the values of [H, W] uint8 row by row, as bincount takes eight bytes for each pixel."""
    histogram = np.zeros(256, np.int64)
    for row in values:
        histogram += np.bincount(row, minlength=256)
    return histogram


def load_window(encodings: Mapping[Path, str], scene: Scene) -> dict[str, np.ndarray]:
    """Read a window of the two mosaics and of their change label.

    Args:
      encodings: Label -> its mask encoding.
      scene: The window.

    Returns:
      {feature: [H, W, C]}; the mask is 255 wherever a mosaic has no valid pixel.

    Raises:
      Unusable: A block of a file is damaged, or its values do not fit WHU Building.
    """
    assert scene.window is not None
    row, column = scene.window
    window = (row, column, scene.height, scene.width)
    where = f"rows {row} to {row + scene.height - 1}, columns {column} to"
    where += f" {column + scene.width - 1}"
    arrays: dict[str, np.ndarray] = {}
    reasons: dict[Path, str] = {}
    invalid = np.zeros((scene.height, scene.width, 1), bool)
    for role, path in scene.files.items():
        try:
            if role == "mask":
                arrays[role] = _change(path, window, encodings[path])
            else:
                image = read_image(path, window)
                num_bands = image.pixels.shape[-1]
                if num_bands != 3 or image.pixels.dtype != np.uint8:
                    raise ReadError(
                        f"has {num_bands} band(s) of {image.pixels.dtype}; expected 3 of uint8"
                    )
                arrays[role] = image.pixels
                if image.valid is not None:
                    invalid |= ~image.valid[..., None]
        except ReadError as error:
            reasons[path] = f"{where}: {error}"
    if reasons:
        raise Unusable(reasons)
    arrays["mask"] = np.where(invalid, np.uint8(IGNORE), arrays["mask"])
    return arrays


def _change(path: Path, window: Window, encoding: str) -> np.ndarray:
    mask = read_mask(path, window)
    known = "index" if mask.is_index else encoding
    wrong = masks.wrong_values(_histogram(_present(mask)), len(CLASSES), known)
    if wrong:
        raise ReadError(f"holds value(s) {', '.join(map(str, wrong[:5]))} in a label of 0 and 1")
    return masks.to_index(mask, encoding, len(CLASSES), IGNORE)
