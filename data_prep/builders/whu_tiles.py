"""Builds WHU from image files: the tiles of segmentation, the crops of change detection."""

import argparse
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics.dataset import Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Unusable, check_usable
from data_prep.builders import plans
from data_prep.builders.whu_areas import PLACE, PLACE_RULE, SEEDED_NOTE, seeded_rule
from data_prep.builders.whu_layout import images
from data_prep.imagery.bands import ReadError
from data_prep.imagery.image_file import read_size
from data_prep.reading import inspection, layout, masks, place_names, places
from data_prep.reading import notes as notes_of
from data_prep.reading.inspection import FileFacts
from data_prep.reading.matching import Candidate
from data_prep.reading.places import Places
from data_prep.reading.rasters import resize_image, resize_mask
from data_prep.reading.role_names import SPLIT_WORDS
from data_prep.reading.scene_files import SceneReader
from data_prep.shards import splits

CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change")}
_FIRST_ROLES = {"ss": "image", "cd": "pre"}


@dataclass(frozen=True)
class Division:
    """The division of the tiles into splits.

    Attributes:
      candidates: The tiles, with names that are unique in their splits.
      split_of: Key of a tile -> split.
      rule: The rule as a sentence.
      notes: Notes on what a user may not expect, one sentence each.
    """

    candidates: tuple[Candidate, ...]
    split_of: Mapping[tuple[str | None, str], str]
    rule: str
    notes: tuple[str, ...] = ()


def plan(
    args: argparse.Namespace, name: str, options: Mapping[str, Any], root: Path, resize: int
) -> Dataset:
    """Find the tiles, read every file once, decide the mask encoding and list what is wrong.

    Args:
      args: The parsed options of `whu`.
      name: The dataset's name.
      options: Options that determine the records, for the manifest.
      root: The folder of the tiles, see `find_root`.
      resize: Side in pixels that every tile is resized to; 0 keeps the tiles as they are.

    Raises:
      UserError: The folder's layout is wrong, or (--on_error=fail) files in it cannot be used.
    """
    found = layout.find(root, args.task)
    classes = CLASSES[args.task]
    inspected = inspection.inspect_all(found.candidates, args.num_workers, len(classes))
    place = _places(found.candidates, inspected, args)
    division = divide(found.candidates, place, args, found.split_source)
    if resize:
        inspected = {path: _resizable(fact, resize) for path, fact in inspected.items()}
    verdict = inspection.judge(
        division.candidates,
        inspected,
        source=root,
        dtype="uint8",
        num_classes=2,
        mask_encoding=args.mask_encoding,
    )
    rejected = (*found.rejected, *verdict.rejected)
    scenes = _scenes(verdict.whole, inspected, division.split_of, place, resize)
    left = (scene.split for scene in scenes)
    check_usable(rejected, found.num_found, args.on_error, division.split_of.values(), left)
    where, outside = found.description, 0
    if root != args.source:
        where += f" in {root.relative_to(args.source).as_posix()}"
        outside = len(images(args.source)) - len(images(root))
    notes = [f"{outside} image files lie outside {root.name} and are not read"] if outside else []
    notes += [*found.notes, *division.notes, *notes_of.of_pixels(verdict, inspected)]
    if resize:
        sizes = sorted(
            {(f.width, f.height) for f in inspected.values() if isinstance(f, FileFacts)}
        )
        written = ", ".join(f"{width} x {height}" for width, height in sizes)
        notes.append(
            f"tiles of {written} pixels were resized to {resize} x {resize}: images by area"
            " averaging, masks by nearest neighbour"
        )
    print(f"masks: {masks.describe(verdict.histogram, verdict.encoding, classes)}")
    first = inspected[verdict.whole[0].files[_FIRST_ROLES[args.task]]]
    assert isinstance(first, FileFacts)
    return plans.make(
        args,
        name,
        RecordFormat(args.task, args.tile_size, first.num_bands, "uint8", classes),
        scenes,
        functools.partial(load_tile, SceneReader(verdict.encoding, len(classes)), resize),
        options=options,
        layout=where,
        mask_encoding=verdict.encoding,
        split_rule=division.rule,
        places=place,
        notes=notes,
        rejected=rejected,
        num_found=found.num_found,
        source=root,
    )


def divide(
    candidates: Sequence[Candidate], place: Places, args: argparse.Namespace, split_source: str
) -> Division:
    """Divide the tiles as their folders or names say, or by a seeded random split.

    Crops of the mosaics all show one place, so they are divided one by one.

    Args:
      candidates: The tiles.
      place: The places of the tiles.
      args: The parsed options; --task, --split, --splits and --seed are used.
      split_source: What names the splits of the candidates: split folders or lists.

    Raises:
      UserError: Neither folders nor names say train, val or test, or there are too few places.
    """
    by_place = args.task == "ss"
    known = by_place and place.known
    what = "places" if known or place_names.options(args) else "tiles"
    unit_of = {c.key: place.of[_files(c)] if by_place else c.site for c in candidates}
    if args.split == "seeded":
        assigned = splits.assign(unit_of.values(), args.splits, args.seed)
        # Tiles of one name from two folders of the source may come into one split.
        renamed = tuple(
            replace(c, name=f"{c.split}_{c.name}" if c.split else c.name) for c in candidates
        )
        split_of = {
            new.key: assigned[unit_of[old.key]]
            for old, new in zip(candidates, renamed, strict=True)
        }
        rule = seeded_rule(what, args.splits, args.seed)
        return Division(renamed, split_of, rule, () if known else (SEEDED_NOTE,))
    by_folder = {candidate.split for candidate in candidates} != {None}
    split_of = {}
    for candidate in candidates:
        split = candidate.split if by_folder else split_in_name(candidate.name)
        if split is None:
            raise UserError(
                f"--source={args.source}: has no split folders, and the name {candidate.name} does"
                " not say train, val or test; --split=seeded divides the tiles at random"
            )
        split_of[candidate.key] = split
    rule = split_source if by_folder else "train, val or test in the names"
    split_of, cut = splits.with_validation(split_of, unit_of, args.splits, args.seed, what)
    note = "val was cut from train by tile: tiles of both may be neighbours"
    notes = (note,) if cut and not known else ()
    return Division(tuple(candidates), split_of, f"{rule}{cut}", notes)


def _files(candidate: Candidate) -> frozenset[Path]:
    """Return the files of a tile, which identify it whatever its name."""
    return frozenset(candidate.files.values())


def _places(
    candidates: Sequence[Candidate],
    inspected: Mapping[Path, FileFacts | str],
    args: argparse.Namespace,
) -> Places:
    if args.task == "cd":
        return Places({_files(c): PLACE for c in candidates}, PLACE_RULE, known=True)
    seen = {_files(c): inspection.evidence(c, inspected) for c in candidates}
    return places.find(seen, named=place_names.given(args))


def split_in_name(name: str) -> str | None:
    """Return the split that a crop's name begins with, as in train_12; None if it names none."""
    first = name.rsplit("/", 1)[-1].replace("-", "_").split("_")[0].lower()
    return SPLIT_WORDS.get(first)


def _resizable(fact: FileFacts | str, resize: int) -> FileFacts | str:
    if isinstance(fact, str):
        return fact
    sides = fact.height, fact.width
    if sides[0] == sides[1] and (sides[0] % resize == 0 or resize % sides[0] == 0):
        return fact
    return (
        f"has {fact.width} x {fact.height} pixels; --resize={resize} takes only squares whose side"
        f" is a multiple or a divisor of {resize} (--resize=0 keeps the pixels)"
    )


def _scenes(
    whole: Sequence[Candidate],
    inspected: Mapping[Path, FileFacts | str],
    split_of: Mapping[tuple[str | None, str], str],
    place: Places,
    resize: int,
) -> list[Scene]:
    scenes = []
    for candidate in whole:
        facts = inspected[next(iter(candidate.files.values()))]
        assert isinstance(facts, FileFacts)
        height, width = (resize, resize) if resize else (facts.height, facts.width)
        split, place_name = split_of[candidate.key], place.of[_files(candidate)]
        scenes.append(
            Scene(candidate.name, split, 0, height, width, candidate.files, place_name=place_name)
        )
    return scenes


def load_tile(read: SceneReader, resize: int, scene: Scene) -> dict[str, np.ndarray]:
    """Read the files of a tile, and resize them.

    Args:
      read: Reads the files.
      resize: Side in pixels; 0 keeps the tile as it is.
      scene: The tile.

    Returns:
      {feature: [H, W, C]}.

    Raises:
      Unusable: A file can no longer be read.
    """
    if not resize:
        return read(scene)
    path = next(iter(scene.files.values()))
    try:
        height, width = read_size(path)  # The scene's size is that after resizing.
    except ReadError as error:
        raise Unusable({path: f"{error}, although it was readable before"}) from error
    arrays = read(replace(scene, height=height, width=width))
    return {
        role: (resize_mask if role == "mask" else resize_image)(array, resize, resize)
        for role, array in arrays.items()
    }
