"""`python -m data_prep spacenet7`: SpaceNet7, monthly 4 m mosaics with building footprints."""

import argparse
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.basics import rejection
from data_prep.basics.dataset import SPLITS, Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.options import add_source_arguments, fractions, positive
from data_prep.basics.parallel import ordered_map
from data_prep.basics.rejection import check_usable
from data_prep.builders import plans
from data_prep.builders.spacenet7_layout import (
    LABEL_FOLDERS,
    Layout,
    Month,
    find,
    pair,
    paper_split,
    select,
)
from data_prep.builders.spacenet7_months import (
    MonthFacts,
    inspect,
    judge,
    load_scene,
    reject_other_grids,
)
from data_prep.reading import georeference, places
from data_prep.reading.places import Evidence, Places
from data_prep.shards import splits

_CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change")}
# As the paper's authors choose: cloud-free months for segmentation, all months for pairs.
_MONTHS = {"ss": "cloud_free", "cd": "all"}
_MIN_GAP_DAYS = 180
_SHARES = (0.5, 0.25, 0.25)  # About the paper's split of 30, 15 and 14 areas.


def _months(text: str) -> str:
    if text in ("all", "last", "cloud_free") or re.fullmatch(r"every:[1-9]\d{0,3}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not cloud_free, all, last or every:N")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    add_source_arguments(parser)
    parser.add_argument(
        "--task", choices=("ss", "cd"), default="ss", help="ss: one month; cd: two (default ss)"
    )
    parser.add_argument(
        "--months",
        type=_months,
        help="which months are used: cloud_free (no UDM), all, last, every:N (default as in the"
        " paper: cloud_free for ss, all for cd)",
    )
    parser.add_argument(
        "--pairing",
        choices=("consecutive", "first_last", "gap"),
        help="for cd: which of these months are compared (default consecutive)",
    )
    parser.add_argument(
        "--min_gap_days",
        type=positive,
        help="for --pairing=gap: each month is compared with the next at least so many days later"
        f" (default {_MIN_GAP_DAYS})",
    )
    parser.add_argument(
        "--change",
        choices=("xor", "new"),
        help="for cd: what counts as change: xor: footprints of one date only; new: footprints of"
        " the later date only (default xor)",
    )
    parser.add_argument(
        "--split",
        choices=("paper", "seeded"),
        default="paper",
        help="paper: areas are divided as in Hafner et al. 2023 (default); seeded: by --splits and"
        " --seed",
    )
    parser.add_argument(
        "--splits", type=fractions, help="shares for --split=seeded (default 0.5,0.25,0.25)"
    )
    parser.add_argument(
        "--labels",
        choices=("auto", *LABEL_FOLDERS),
        default="auto",
        help="folder of the labels (default auto: the first that exists of"
        f" {', '.join(LABEL_FOLDERS)})",
    )


def default_name(args: argparse.Namespace) -> str:
    """Return the name of the dataset if --name is not given."""
    return f"spacenet7_{args.task}"


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that determine the records.

    Raises:
      UserError: The options contradict each other.
    """
    _check_options(args)
    is_pair, is_seeded = args.task == "cd", args.split == "seeded"
    pairing = (args.pairing or "consecutive") if is_pair else None
    return {
        **plans.source_options(args),
        "task": args.task,
        "months": args.months or _MONTHS[args.task],
        "pairing": pairing,
        "min_gap_days": (args.min_gap_days or _MIN_GAP_DAYS) if pairing == "gap" else None,
        "change": (args.change or "xor") if is_pair else None,
        "split": args.split,
        "splits": list(args.splits or _SHARES) if is_seeded else None,
        "seed": args.seed if is_seeded else None,
        "labels": args.labels,
    }


def plan(args: argparse.Namespace, name: str) -> Dataset:
    """Choose months or pairs, divide the areas, check every file and list what is wrong.

    Args:
      args: The parsed options.
      name: The dataset's name.

    Returns:
      The dataset, ready to be written.

    Raises:
      UserError: The layout is wrong, or files cannot be used and --on_error=fail.
    """
    chosen = options(args)
    found = find(args.source, args.labels)
    if chosen["months"] == "cloud_free" and not found.knows_clouds:
        raise UserError(
            f"--source={args.source}: has neither metadata_train.json nor UDM_masks, so nothing"
            " says which months are cloudy; --months=all takes every month"
        )
    areas, notes = _areas(found, chosen)
    groups = [group for area in areas for group in _groups(found.areas[area], chosen)]
    asked = list(dict.fromkeys(month for group in groups for month in group))
    results = ordered_map(
        functools.partial(inspect, found.labels),
        asked,
        num_workers=args.num_workers,
        description="reading",
        unit="months",
    )
    facts = dict(zip(asked, results, strict=True))
    if args.task == "cd":
        for months in found.areas.values():
            reject_other_grids(months, facts)
    place = _places(areas, found, facts)
    split_of, split_rule = _divide(areas, place, chosen)
    scenes: list[Scene] = []
    reasons, partners = dict(found.strays), dict[Path, Path]()
    for group in groups:
        files = _files(group, found)
        grid, at_fault = judge(group, facts)
        if grid is None:
            reasons |= at_fault
            partners |= dict.fromkeys(files.values(), next(iter(at_fault)))
            continue
        area, dates = group[0].area, "-".join(month.name for month in group)
        size, place_name = (grid.height, grid.width), place.of[area]
        scenes.append(
            Scene(f"{area}/{dates}", split_of[area], 0, *size, files, place_name=place_name)
        )
    used = {path for scene in scenes for path in scene.files.values()}
    rejected = rejection.account(found.source, reasons, partners, used)
    num_found = len(used | partners.keys() | reasons.keys())
    if not groups and not rejected:
        raise UserError("no scene is left for any split: no area has the months asked for")
    wanted = {split_of[group[0].area] for group in groups}
    check_usable(rejected, num_found, args.on_error, wanted, (scene.split for scene in scenes))
    notes += _notes(found, asked, facts)
    return plans.make(
        args,
        name,
        RecordFormat(args.task, args.tile_size, 3, "uint8", _CLASSES[args.task]),
        scenes,
        functools.partial(load_scene, args.task, found.labels, chosen["change"]),
        options=chosen,
        layout=found.description,
        mask_encoding="index",
        split_rule=split_rule,
        places=place,
        notes=notes,
        rejected=rejected,
        num_found=num_found,
        source=found.source,
    )


def _check_options(args: argparse.Namespace) -> None:
    for option in ("pairing", "change", "min_gap_days"):
        if getattr(args, option) is not None and args.task != "cd":
            raise UserError(f"--{option} is for --task=cd, not for --task={args.task}")
    if args.min_gap_days is not None and args.pairing != "gap":
        raise UserError("--min_gap_days is for --pairing=gap")
    if args.splits is not None and args.split != "seeded":
        raise UserError("--splits is for --split=seeded")


def _areas(found: Layout, chosen: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the areas that are used, and notes on the others."""
    if chosen["split"] == "seeded":
        return list(found.areas), []
    known = paper_split()
    unknown = [area for area in found.areas if area not in known]
    if unknown:
        raise UserError(
            f"{len(unknown)} area(s) are not in the paper's split ({', '.join(unknown[:5])}"
            f"{', ...' if len(unknown) > 5 else ''}); --split=seeded can divide any areas"
        )
    unused = [area for area in found.areas if known[area] == "unused"]
    notes = [f"the paper's split leaves out the area {area}" for area in unused]
    return [area for area in found.areas if area not in unused], notes


def _places(
    areas: Sequence[str], found: Layout, facts: Mapping[Month, MonthFacts | dict[Path, str]]
) -> Places:
    """Find the places: an area is a place, and areas that touch are one place."""
    seen = {}
    for area in areas:
        of_area = [facts.get(month) for month in found.areas[area]]
        grids = Counter(fact.grid for fact in of_area if isinstance(fact, MonthFacts))
        # The grid of most months: a month with a damaged georeference may lie elsewhere.
        usual = [grid for grid, _ in grids.most_common(1) if georeference.is_on_earth(grid)]
        seen[area] = Evidence(area, area, tuple(usual))
    return places.find(seen, rule="an area is one place", can_be_named=False)


def _divide(
    areas: Sequence[str], place: Places, chosen: Mapping[str, Any]
) -> tuple[dict[str, str], str]:
    """Give each area its split; also return the rule as a sentence."""
    if chosen["split"] == "seeded":
        shares, seed = chosen["splits"], chosen["seed"]
        split_of_place = splits.assign(place.of.values(), shares, seed)
        percent = splits.in_words(shares)
        rule = f"by area, {percent}, in the order of a hash of seed {seed} and the area's name"
        return {area: split_of_place[place.of[area]] for area in areas}, rule
    split_of = {area: paper_split()[area] for area in areas}
    counts = ", ".join(f"{sum(s == n for s in split_of.values())} {n}" for n in SPLITS)
    rule = f"by area as in Hafner et al. 2023 (doi 10.3390/rs15215135); areas found: {counts}"
    return split_of, rule


def _groups(months: Sequence[Month], chosen: Mapping[str, Any]) -> list[tuple[Month, ...]]:
    months = select(months, chosen["months"])
    if chosen["task"] == "ss":
        return [(month,) for month in months]
    return [*pair(months, chosen["pairing"], chosen["min_gap_days"] or 0)]


def _files(group: Sequence[Month], found: Layout) -> dict[str, Path]:
    prefixes = ("",) if len(group) == 1 else ("pre_", "post_")
    files = {
        prefix + role: path
        for prefix, month in zip(prefixes, group, strict=True)
        for role, path in month.files.items()
    }
    return files | ({"metadata": found.metadata} if found.metadata else {})


def _notes(
    found: Layout, asked: Sequence[Month], facts: Mapping[Month, MonthFacts | dict[Path, str]]
) -> list[str]:
    """Return notes on what a user may not expect, one sentence each."""
    left_out: dict[str, int] = defaultdict(int)
    for months in found.areas.values():
        for month in set(months) - set(asked):
            left_out["months"] += 1
            left_out["files"] += len(month.files)
    lines = []
    if left_out:
        left = f"{left_out['months']} months ({left_out['files']} files)"
        lines.append(f"{left} are left out by the options")
    good = [fact for fact in facts.values() if isinstance(fact, MonthFacts)]
    readings = sorted({fact.reading for fact in good if fact.reading})
    if readings:
        lines.append(f"the coordinates in {found.labels} were read as {' and '.join(readings)}")
    for count, what in (
        (sum(fact.num_repaired for fact in good), "footprints were invalid and repaired"),
        (sum(fact.num_empty for fact in good), "footprints cover no area and are left out"),
        (sum(fact.num_outside for fact in good), "footprints lie outside of their image"),
    ):
        if count:
            lines.append(f"{count} {what}")
    return lines
