"""`python -m data_prep xview2`: xView2 / xBD, buildings before a disaster, or their damage."""

import argparse
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.basics import rejection
from data_prep.basics.dataset import Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.options import add_source_arguments, fractions, seed
from data_prep.basics.parallel import ordered_map
from data_prep.basics.rejection import check_usable
from data_prep.builders import plans, xbd_layout, xbd_scenes
from data_prep.reading import masks, place_names, places
from data_prep.reading.places import Evidence, Places
from data_prep.shards import splits

_LEVEL_NAMES = ("background", "no_damage", "minor_damage", "major_damage", "destroyed")
# target -> task, default name of the dataset, classes, class of each of the levels 0 to 4.
_TARGETS = {
    "buildings": ("ss", "xview2_ss", ("background", "building"), (0, 1, 1, 1, 1)),
    "damage": ("cd", "xview2_cd", ("no_change", "change"), (0, 0, 1, 1, 1)),
    "damage_levels": ("cd", "xview2_levels", _LEVEL_NAMES, (0, 1, 2, 3, 4)),
}

_PLACE_RULE = "the pairs of a disaster lie near each other: a disaster is one place"
# target -> the first class that is damage; buildings of earlier classes are intact.
_FIRST_DAMAGE = {"buildings": 1, "damage": 1, "damage_levels": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    add_source_arguments(parser)
    place_names.add_arguments(parser)
    parser.add_argument(
        "--disasters",
        type=_names,
        default=("santa-rosa-wildfire",),
        help="names with commas between, or all (default santa-rosa-wildfire, as in the paper)",
    )
    parser.add_argument(
        "--target",
        choices=tuple(_TARGETS),
        default="buildings",
        help="buildings (task ss): footprints on the pre image; damage (cd): minor, major and"
        " destroyed are change; damage_levels (cd): a class for each level. Un-classified buildings"
        " are ignored in both cd targets (default buildings)",
    )
    parser.add_argument(
        "--resize",
        type=seed,  # Parses any whole number from 0.
        default=256,
        help="resize the scenes to this side in pixels: images by area averaging, polygons drawn on"
        " the smaller grid (default 256, as in the paper); 0 keeps them, --tile_size cuts them",
    )
    parser.add_argument(
        "--truth",
        choices=("auto", "labels", "masks"),
        default="auto",
        help="labels: the owner's polygons; masks: rasters beside the images, as the paper's"
        " authors have them; auto: labels if there are any",
    )
    parser.add_argument(
        "--no_mask",
        choices=("reject", "background"),
        default="reject",
        help="what to do about images without a mask file (the owner's preparation writes none for"
        " images without buildings): reject them, or take them as background",
    )
    parser.add_argument("--mask_encoding", choices=("auto", *masks.ENCODINGS), default="auto")
    parser.add_argument(
        "--mask_values",
        choices=("auto", "levels", "change"),
        default="auto",
        help="meaning of masks for --target=damage: levels: 0 to 4, where 1 is an intact building;"
        " change: any value but 0 is change (as the paper's authors take them); auto: levels if any"
        " mask holds 2 to 4, else an error (default auto)",
    )
    parser.add_argument(
        "--splits",
        type=fractions,
        default=(0.7, 0.1, 0.2),
        help="shares of train,val,test if the source has train alone or no split folders (default"
        " 0.7,0.1,0.2); if only val is missing, val/(train+val) of the train scenes become val",
    )


def _names(text: str) -> tuple[str, ...]:
    """Parse --disasters."""
    names = tuple(sorted({name.strip() for name in text.split(",")}))
    if not all(names) or ("all" in names and len(names) > 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME,NAME,... or all")
    return names


def default_name(args: argparse.Namespace) -> str:
    """Return the name of the dataset if --name is not given."""
    return _TARGETS[args.target][1]


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that determine the records."""
    return {
        **plans.source_options(args),
        "disasters": list(args.disasters),
        "target": args.target,
        "resize": args.resize,
        "truth": args.truth,
        "no_mask": args.no_mask,
        "mask_encoding": args.mask_encoding,
        "mask_values": args.mask_values,
        "splits": list(args.splits),
        **place_names.options(args),
    }


def plan(args: argparse.Namespace, name: str) -> Dataset:
    """Find the scenes, read sizes and labels, and list what is wrong.

    Args:
      args: The parsed options.
      name: The dataset's name.

    Returns:
      The dataset, ready to be written.

    Raises:
      UserError: The options contradict each other, the layout is none of the known ones, or
        (--on_error=fail) files cannot be used.
    """
    if 0 < args.resize < args.tile_size:
        raise UserError(
            f"--resize={args.resize} is below --tile_size={args.tile_size}: every record would be"
            " padded"
        )
    task, _, classes, class_of_level = _TARGETS[args.target]
    found = xbd_layout.find(
        args.source,
        args.disasters,
        args.target,
        args.truth,
        needs_mask=args.no_mask == "reject",
    )
    inspected = ordered_map(
        functools.partial(xbd_scenes.inspect, args.target != "buildings", args.resize),
        found.candidates,
        num_workers=args.num_workers,
        description="reading",
        unit="scenes",
    )
    facts = {c.name: one for c, one in zip(found.candidates, inspected, strict=True)}
    reading = xbd_scenes.decide(
        facts.values(),
        found.truth,
        args.target,
        args.mask_encoding,
        args.mask_values,
        class_of_level,
    )
    rejected, whole = list(found.rejected), []
    for candidate in found.candidates:
        if reasons := reading.complaints(candidate, facts[candidate.name]):
            rejected += rejection.of_scene(args.source, candidate.files.values(), reasons)
        else:
            whole.append(candidate)
    seen = {c.name: Evidence(c.name, c.site) for c in found.candidates}
    place = places.find(seen, rule=_PLACE_RULE, named=place_names.given(args))
    split_of, split_rule = _divide(found, place, args.splits, args.seed)
    scenes = []
    for candidate in whole:
        one = facts[candidate.name]
        height, width = one.height, one.width
        if args.resize:
            height = width = args.resize
        split, place_name = split_of[candidate.name], place.of[candidate.name]
        scenes.append(
            Scene(candidate.name, split, 0, height, width, candidate.files, place_name=place_name)
        )
    left = (scene.split for scene in scenes)
    check_usable(rejected, found.num_found, args.on_error, split_of.values(), left)
    notes = [*found.notes, *_notes(args, [facts[c.name] for c in whole], reading)]
    print(f"masks: {reading.describe()}")
    return plans.make(
        args,
        name,
        RecordFormat(task, args.tile_size, 3, "uint8", classes, _FIRST_DAMAGE[args.target]),
        scenes,
        functools.partial(xbd_scenes.load, reading),
        options=options(args),
        layout=found.description,
        mask_encoding=reading.encoding,
        split_rule=split_rule,
        places=place,
        notes=notes,
        rejected=rejected,
        num_found=found.num_found,
        more={"disasters": list(found.disasters)},
    )


def _divide(
    found: xbd_layout.Layout, place: Places, shares: Sequence[float], seed: int
) -> tuple[dict[str, str], str]:
    """Give each pair its split; also return the rule as a sentence.

    Disasters are divided if there are enough of them, else the pairs.
    """
    split_of = {c.name: c.split for c in found.candidates if c.split}
    present = set(split_of.values())
    if not found.candidates:  # All files are rejected; the caller lists them.
        return {}, ""
    is_whole = not present or present == {"train"}
    divided = [c.name for c in found.candidates if is_whole or c.split == "train"]
    needed = sum(share > 0 for share in shares) if is_whole else 2
    by_place = len({place.of[name] for name in divided}) >= needed
    unit_of = place.of if by_place else {name: name for name in place.of}
    if is_whole:
        what = "place" if by_place else "pair, as there are fewer places than splits"
        rule = (
            f"the source has one split: by {what}, {splits.in_words(shares)}, in the order of a"
            f" hash of seed {seed} and the name"
        )
        assigned = splits.assign(unit_of.values(), shares, seed)
        return {name: assigned[unit] for name, unit in unit_of.items()}, rule
    rule = "the owner's splits (train and tier3 are train, hold is val, test is test)"
    what = "places" if by_place else "pairs"
    split_of, cut = splits.with_validation(split_of, unit_of, shares, seed, what)
    return split_of, f"{rule}{cut}"


def _notes(
    args: argparse.Namespace, facts: Sequence[xbd_scenes.Facts], reading: xbd_scenes.Reading
) -> Iterator[str]:
    """Yield notes on what a user may not expect, one sentence each."""
    counts = sum((one.counts for one in facts), Counter())
    if reading.encoding == xbd_scenes.POLYGONS:
        yield f"{counts['polygons']} footprints in {len(facts)} labels"
    for what, consequence in (
        ("crossed themselves", "and were repaired"),
        ("have no area", "and cover no pixel"),
        ("lie outside their image", "and are left out"),
        ("are un-classified", "and are 255 (ignore)"),
    ):
        if counts[what] and not (what == "are un-classified" and args.target == "buildings"):
            yield f"{counts[what]} polygons {what} {consequence}"
    if args.resize and (enlarged := sum(one.height < args.resize for one in facts)):
        yield f"{enlarged} scenes are smaller than --resize={args.resize} and were enlarged"
    if empty := sum(not one.has_truth for one in facts):
        yield f"{empty} scenes have no mask file and were taken as background"
    if args.target == "damage" and reading.is_binary:
        yield (
            "all that the masks mark is taken as change (--mask_values=change), as the paper's"
            " authors do; but the owner's preparation of this layout marks all buildings, damaged"
            " or not"
        )
