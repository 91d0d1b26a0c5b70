"""`python -m data_prep folder`: any folder of images, images with masks, or pairs with masks."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.basics.dataset import IGNORE, Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.options import add_source_arguments, class_names, fractions, seed, snake_case
from data_prep.basics.rejection import check_usable
from data_prep.builders import plans, split_within
from data_prep.imagery import band_options
from data_prep.reading import inspection, layout, masks, place_names, places
from data_prep.reading import notes as notes_of
from data_prep.reading.inspection import FileFacts
from data_prep.reading.matching import Candidate
from data_prep.reading.places import Places
from data_prep.reading.role_ways import parse_given
from data_prep.reading.scene_files import SceneReader
from data_prep.shards import splits

_CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change"), "denoise": ()}

_MOST_VALUES = 8  # Of a mask. A photograph has more; one of a single value is blank.

_Key = tuple[str | None, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    add_source_arguments(parser)
    place_names.add_arguments(parser)
    parser.add_argument(
        "--task",
        choices=("auto", "ss", "cd", "denoise"),
        default="auto",
        help="auto: cd if folders or file names tell A, B and label (or other usual names), ss if"
        " images and masks, denoise if nothing looks like a mask or a pair",
    )
    parser.add_argument(
        "--roles",
        type=parse_given,
        metavar="ROLE=NAME,...",
        help="which folder, or which file names (*_truth), hold each role, where names are not the"
        " usual ones: image=NAME,mask=NAME or pre=NAME,post=NAME,mask=NAME; other roles keep the"
        " usual names",
    )
    parser.add_argument(
        "--splits",
        type=fractions,
        default=(0.7, 0.1, 0.2),
        help="shares of train,val,test among the places if the source has no split folders (default"
        " 0.7,0.1,0.2); if only val is missing, val/(train+val) of the places of train become val",
    )
    parser.add_argument(
        "--split_within",
        type=seed,  # Parses any whole number from 0.
        nargs="?",
        const=-1,
        metavar="GAP",
        help="divide each place by strips, for one large image or fewer places than splits; GAP"
        " pixels between strips are in no split (default: one tile)",
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
        **({"roles": args.roles.text} if args.roles else {}),
        **({"split_within": _gap(args)} if args.split_within is not None else {}),
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
    found = layout.find(args.source, args.task, args.roles)
    if found.has_splits and args.split_within is not None:
        raise UserError(
            f"--split_within: {found.split_source} divide the scenes; leave the option out"
        )
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
    if found.task == "denoise" and args.task == "auto":
        _check_no_masks(inspected, args.source)
    seen = {c.key: inspection.evidence(c, inspected) for c in found.candidates}
    place = places.find(seen, named=place_names.given(args))
    split_of: dict[_Key, str] = {}
    if args.split_within is None:
        hint = _strips_hint(found, inspected, args.splits)
        split_of, split_rule = _divide(found, place, args.splits, args.seed, hint)
    verdict = inspection.judge(
        found.candidates,
        inspected,
        source=args.source,
        dtype=args.dtype,
        num_classes=len(classes),
        mask_encoding=args.mask_encoding,
    )
    rejected = (*found.rejected, *verdict.rejected)
    notes = [*found.notes, *notes_of.of_pixels(verdict, inspected)]
    if args.split_within is None:
        scenes = _scenes(verdict.whole, inspected, split_of, place)
    elif verdict.whole:
        images = _images(verdict.whole, inspected, place)
        strips = split_within.divide(images, args.splits, _gap(args), args.tile_size)
        scenes, split_rule = [*strips.scenes], strips.rule
        notes += strips.notes
    else:
        scenes, split_rule = [], ""
    left = [scene.split for scene in scenes]
    check_usable(rejected, found.num_found, args.on_error, split_of.values(), left)
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


def _check_no_masks(inspected: Mapping[Path, FileFacts | str], source: Path) -> None:
    """Refuse masks among files that nothing names: they would be learned as images."""
    like = [
        path.relative_to(source).as_posix()
        for path, fact in inspected.items()
        if isinstance(fact, FileFacts) and 2 <= fact.num_values <= _MOST_VALUES
    ]
    if like:
        raise UserError(
            f"--source={source}: {len(like)} of {len(inspected)} files hold few values, as masks do"
            f" ({', '.join(like[:3])}), and no name tells masks from images:"
            " --roles=image=NAME,mask=NAME says which folders or file names (*_truth) hold them;"
            " --task=denoise takes all files as images"
        )


def _divide(
    found: layout.Layout, place: Places, shares: Sequence[float], seed: int, hint: str
) -> tuple[dict[_Key, str], str]:
    """Give each candidate its split; also return the rule as a sentence."""
    if not found.has_splits:
        split_of_place = splits.assign(place.of.values(), shares, seed, hint)
        percent = splits.in_words(shares)
        rule = f"by place, {percent}, in the order of a hash of seed {seed} and the place's name"
        return {key: split_of_place[name] for key, name in place.of.items()}, rule
    split_of = {c.key: c.split or "" for c in found.candidates}
    split_of, cut = splits.with_validation(split_of, place.of, shares, seed, "places")
    return split_of, f"{found.split_source}{cut}"


def _gap(args: argparse.Namespace) -> int:
    gap: int = args.tile_size if args.split_within < 0 else args.split_within
    return gap


def _strips_hint(
    found: layout.Layout, inspected: Mapping[Path, FileFacts | str], shares: Sequence[float]
) -> str:
    """Say by which options the images can be divided by strips; empty if they cannot."""
    longer = [
        max(fact.height, fact.width)
        for candidate in found.candidates
        for path in candidate.files.values()
        if isinstance(fact := inspected[path], FileFacts)
    ]
    how = split_within.fitting(min(longer, default=0), sum(share > 0 for share in shares))
    return f"{how}, which cuts each place into strips with gaps between" if how else ""


def _images(
    whole: Sequence[Candidate], inspected: Mapping[Path, FileFacts | str], place: Places
) -> list[split_within.Image]:
    return [
        split_within.Image(
            one.name, place.of[one.key], one.site, one.files, facts.height, facts.width, facts.grid
        )
        for one in whole
        for facts in [_facts(inspected, one.files)]
    ]


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
