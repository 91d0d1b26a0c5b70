"""`python -m data_prep folder`: any folder of images, images with masks, or pairs with masks."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.basics.dataset import IGNORE, Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.options import add_source_arguments, class_names, fractions, seed, snake_case
from data_prep.basics.rejection import check_usable
from data_prep.builders import plans
from data_prep.imagery import band_options
from data_prep.reading import inspection, layout, masks, place_names, places
from data_prep.reading import notes as notes_of
from data_prep.reading.inspection import FileFacts
from data_prep.reading.matching import Candidate
from data_prep.reading.places import Places
from data_prep.reading.scene_files import SceneReader
from data_prep.shards import splits

_CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change"), "denoise": ()}

_Key = tuple[str | None, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    add_source_arguments(parser)
    place_names.add_arguments(parser)
    parser.add_argument(
        "--task",
        choices=("auto", "ss", "cd", "denoise"),
        default="auto",
        help="auto: cd if there are folders A, B and label, ss if image and mask, else denoise",
    )
    parser.add_argument(
        "--splits",
        type=fractions,
        default=(0.7, 0.1, 0.2),
        help="shares of train,val,test among the places if the source has no split folders (default"
        " 0.7,0.1,0.2); if only val is missing, val/(train+val) of the places of train become val",
    )
    parser.add_argument(
        "--classes",
        type=class_names,
        help="names of the classes in the order of the mask values (default background,building for"
        " ss, no_change,change for cd)",
    )
    parser.add_argument("--mask_encoding", choices=("auto", *masks.ENCODINGS), default="auto")
    parser.add_argument(
        "--mask_nodata",
        type=seed,
        default=IGNORE,
        help="class of mask pixels that are NaN or hold the file's no-data value (default 255 ="
        " ignore)",
    )
    parser.add_argument("--dtype", choices=("uint8", "uint16"), default="uint8")
    band_options.add_arguments(parser)


def default_name(args: argparse.Namespace) -> str:
    """Return the name of the dataset if --name is not given: that of the source folder."""
    return snake_case(args.source.resolve().name)


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that determine the records."""
    return {
        **plans.source_options(args),
        "task": args.task,
        "splits": list(args.splits),
        "classes": list(args.classes) if args.classes else None,
        "mask_encoding": args.mask_encoding,
        "dtype": args.dtype,
        **({"mask_nodata": args.mask_nodata} if args.mask_nodata != IGNORE else {}),
        **band_options.options(args),
        **place_names.options(args),
    }


def plan(args: argparse.Namespace, name: str) -> Dataset:
    """Find the scenes, read every file once, decide the mask encoding and list what is wrong.

    Args:
      args: The parsed options.
      name: The dataset's name.

    Returns:
      The dataset, ready to be written.

    Raises:
      UserError: The folder's layout is wrong, or (--on_error=fail) files in it cannot be used.
    """
    found = layout.find(args.source, args.task)
    classes = args.classes or _CLASSES[found.task]
    if found.task == "denoise" and args.classes:
        raise UserError("--classes: the task denoise has no classes; leave the option out")
    if args.mask_nodata not in (*range(len(classes)), IGNORE):
        raise UserError(
            f"--mask_nodata={args.mask_nodata}: expected a class from 0 to {len(classes) - 1}, or"
            f" {IGNORE} = ignore"
        )
    choice = band_options.choice(args)
    inspected = inspection.inspect_all(found.candidates, args.num_workers, len(classes), choice)
    seen = {c.key: inspection.evidence(c, inspected) for c in found.candidates}
    place = places.find(seen, named=place_names.given(args))
    split_of, split_rule = _divide(found, place, args.splits, args.seed)
    verdict = inspection.judge(
        found.candidates,
        inspected,
        source=args.source,
        dtype=args.dtype,
        num_classes=len(classes),
        mask_encoding=args.mask_encoding,
    )
    rejected = (*found.rejected, *verdict.rejected)
    scenes = _scenes(verdict.whole, inspected, split_of, place)
    left = (scene.split for scene in scenes)
    check_usable(rejected, found.num_found, args.on_error, split_of.values(), left)
    notes = notes_of.of_pixels(verdict, inspected)
    if found.num_unused:
        notes.append(f"{found.num_unused} mask files are not used: denoise needs none")
    has_classes = found.task != "denoise"
    if has_classes:
        print(f"masks: {masks.describe(verdict.histogram, verdict.encoding, classes)}")
    num_bands = _facts(inspected, verdict.whole[0].files).num_bands
    records = RecordFormat(found.task, args.tile_size, num_bands, args.dtype, tuple(classes))
    return plans.make(
        args,
        name,
        records,
        scenes,
        SceneReader(verdict.encoding, len(classes), args.mask_nodata, choice),
        options=options(args),
        layout=found.description,
        mask_encoding=verdict.encoding if has_classes else None,
        split_rule=split_rule,
        places=place,
        notes=notes,
        rejected=rejected,
        num_found=found.num_found,
    )


def _divide(
    found: layout.Layout, place: Places, shares: Sequence[float], seed: int
) -> tuple[dict[_Key, str], str]:
    """Give each candidate its split; also return the rule as a sentence."""
    if not found.has_splits:
        split_of_place = splits.assign(place.of.values(), shares, seed)
        percent = splits.in_words(shares)
        rule = f"by place, {percent}, in the order of a hash of seed {seed} and the place's name"
        return {key: split_of_place[name] for key, name in place.of.items()}, rule
    split_of = {c.key: c.split or "" for c in found.candidates}
    split_of, cut = splits.with_validation(split_of, place.of, shares, seed, "places")
    return split_of, f"the source's own split folders{cut}"


def _scenes(
    whole: Sequence[Candidate],
    inspected: Mapping[Path, FileFacts | str],
    split_of: Mapping[_Key, str],
    place: Places,
) -> list[Scene]:
    scenes = []
    for one in whole:
        facts = _facts(inspected, one.files)
        size = facts.height, facts.width
        scenes.append(
            Scene(one.name, split_of[one.key], 0, *size, one.files, place_name=place.of[one.key])
        )
    return scenes


def _facts(inspected: Mapping[Path, FileFacts | str], files: Mapping[str, Path]) -> FileFacts:
    facts = inspected[next(path for role, path in files.items() if role != "mask")]
    assert isinstance(facts, FileFacts)
    return facts
