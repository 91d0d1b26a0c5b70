"""`python -m data_prep verify DIR`: read every record again and check it against the manifest."""

import argparse
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics.errors import UserError
from data_prep.basics.options import positive
from data_prep.basics.parallel import ordered_map
from data_prep.checks import contact_sheet, look_alikes
from data_prep.checks.record_checks import Report, check_shard
from data_prep.shards import checksums, histograms, prepared, sources
from data_prep.shards.prepared import Prepared

_MOST_TOLD = 10  # Most pairs of look-alike scenes that are printed.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    prepared.add_arguments(parser)
    parser.add_argument("--source", type=Path, help="also check the source files in this folder")
    parser.add_argument(
        "--output", type=Path, help="the contact sheet (default DIR/1.0.0/contact_sheet.png)"
    )
    parser.add_argument(
        "--num_tiles", type=positive, default=16, help="tiles of a split on the sheet (default 16)"
    )


def run(args: argparse.Namespace) -> None:
    """Check the dataset, draw its contact sheet, list faults and scenes that look alike.

    Args:
      args: The parsed options.

    Raises:
      UserError: There is no dataset, or it differs from its manifest; the message lists how.
    """
    dataset = prepared.open_prepared(args.directory)
    findings = [*_check_shard_files(dataset, args.num_workers), *_check_account(dataset.manifest)]
    if args.source is not None:
        findings += _check_sources(dataset, args.source, args.num_workers)
    shards = dataset.every_shard()
    # The list of files is left out: it may be long, and each shard's worker would be sent it.
    light = replace(dataset, manifest={**dataset.manifest, "files": {}, "rejected": []})
    reports = ordered_map(
        functools.partial(check_shard, light),
        shards,
        num_workers=args.num_workers,
        description="reading",
        unit="shards",
    )
    by_shard = dict(zip(shards, reports, strict=True))
    for split in dict.fromkeys([*dataset.manifest["splits"], *dataset.shards]):
        of_split = [report for shard, report in by_shard.items() if shard.split == split]
        findings += _check_split(dataset, split, of_split)
    alike = look_alikes.find([p for report in by_shard.values() for p in report.pictures])
    findings += [f"{pair} are the same picture, pixel by pixel" for pair in alike.equal]
    _tell(alike.same, "like the same picture")
    _tell(alike.neighbours, "like neighbours")
    output = args.output or dataset.folder / "contact_sheet.png"
    foreground = {shard: report.foreground for shard, report in by_shard.items()}
    if contact_sheet.draw(dataset, foreground, args.num_tiles, output):
        print(f"{output}: look at it")
    if findings:
        raise UserError("\n".join([f"{dataset.folder}: {len(findings)} finding(s)", *findings]))
    records = sum(sum(sizes) for sizes in dataset.shards.values())
    print(f"{dataset.folder}: {records} records in {len(shards)} shards are as the manifest says")
    if args.source is not None:
        print(f"{args.source}: all {len(dataset.manifest['files'])} source files are unchanged")


def _tell(pairs: Sequence[str], what: str) -> None:
    """Print pairs that look alike: a warning, for it may be a coincidence."""
    if pairs:
        print(f"warning: {len(pairs)} pairs of scenes of different splits look {what}:")
        for pair in pairs[:_MOST_TOLD]:
            print(f"  {pair} look {what}")
        if len(pairs) > _MOST_TOLD:
            print(f"  and {len(pairs) - _MOST_TOLD} more")


def _check_split(dataset: Prepared, split: str, reports: Sequence[Report]) -> Iterator[str]:
    """Compare the sums over the shards of a split with the manifest."""
    entry = dataset.manifest["splits"].get(split)
    if not isinstance(entry, dict):
        yield f"{split}: the shards have this split, but the manifest does not"
        return
    if split not in dataset.shards:
        yield f"{split}: the manifest has this split, but the shards do not"
        return
    yield from (finding for report in reports for finding in report.findings)
    number = sum(dataset.shards[split])
    if number != entry.get("num_records"):
        yield f"{split}: has {number} records, but the manifest says {entry.get('num_records')}"
    for key in ("scenes", "places"):
        if entry[f"num_{key}"] != len(set(entry[key])):
            yield (
                f"{split}: the manifest says {entry[f'num_{key}']} {key} but lists"
                f" {len(set(entry[key]))}"
            )
    if sum(report.num_unreadable for report in reports):
        return  # Sums that leave out unreadable records would only repeat the finding.
    scenes = [scene for report in reports for scene in report.scenes]
    yield from _check_scenes(split, scenes, entry["scenes"])
    if scenes == entry["scenes"]:
        found_records = [n for report in reports for n in report.scene_records]
        for scene, n, listed in zip(scenes, found_records, entry["scene_records"], strict=True):
            if n != listed:
                yield f"{split}: scene {scene} has {n} records, but the manifest says {listed}"
    found: dict[str, Any] = {}
    if dataset.has_classes:
        pixels = sum((report.class_pixels for report in reports), np.zeros(256, np.int64))
        found["class_pixels"] = pixels[: len(dataset.manifest["classes"])].tolist()
    found["ignore_pixels"] = sum(report.ignore_pixels for report in reports)
    if dataset.manifest["task"] == "cd":
        found["num_with_change"] = sum(report.num_with_change for report in reports)
    for key, value in found.items():
        if value != entry.get(key):
            yield f"{split}: {key} is {value}, but the manifest says {entry.get(key)}"
    if reports:
        counts = np.sum([report.band_counts for report in reports], axis=0)
        bands = histograms.statistics(counts)
        yield from _check_bands(split, bands, entry.get("bands"))


def _check_bands(split: str, found: Sequence[Mapping[str, Any]], listed: Any) -> Iterator[str]:
    if not isinstance(listed, list) or len(listed) != len(found):
        yield f"{split}: the manifest lists no bands, but the records have {len(found)}"
        return
    for index, (band, entry) in enumerate(zip(found, listed, strict=True)):
        if band != entry:
            yield f"{split}: band {index} has {_told(band)}, but the manifest says {_told(entry)}"


def _told(statistics: Any) -> str:
    if not isinstance(statistics, dict):
        return repr(statistics)
    return ", ".join(f"{key} {value}" for key, value in statistics.items())


def _check_scenes(split: str, found: Sequence[str], listed: Sequence[str]) -> Iterator[str]:
    counts = Counter(found)
    lost = [scene for scene in listed if scene not in counts]
    twice = [scene for scene, number in counts.items() if number > 1]
    yield from (f"{split}: scene {scene} has no record" for scene in lost)
    yield from (f"{split}: the records of scene {scene} are not together" for scene in twice)
    if not lost and not twice and set(found) == set(listed) and list(found) != list(listed):
        yield f"{split}: the scenes are not in the order of the manifest"


def _check_shard_files(dataset: Prepared, num_workers: int) -> Iterator[str]:
    listed = dataset.manifest["shards"]
    on_disk = {path.name for path in dataset.folder.glob("*.array_record*")}
    expected = {dataset.path(shard).name for shard in dataset.every_shard()}
    for name in sorted(on_disk | expected | listed.keys()):
        if name not in listed:
            yield f"{name}: the manifest does not list this shard"
        if name not in expected:
            yield f"{name}: TFDS's description does not list this shard"
    yield from _compare_digests(dataset.folder, listed, num_workers)


def _check_sources(dataset: Prepared, source: Path, num_workers: int) -> Iterator[str]:
    if not source.is_dir():
        raise UserError(f"--source={source}: {'not a folder' if source.exists() else 'not found'}")
    listed = dataset.manifest["files"]
    if not listed:
        raise UserError(f"--source={source}: {dataset.folder} was not built from files")
    yield from _compare_digests(sources.root(source, next(iter(listed))), listed, num_workers)


def _compare_digests(folder: Path, listed: Mapping[str, str], num_workers: int) -> Iterator[str]:
    paths = {folder / name: name for name in sorted(listed)}
    digests = checksums.of_files(paths, num_workers=num_workers)
    for path, name in paths.items():
        digest, reason = digests[path]
        if reason:
            yield f"{name}: {reason}"
        elif digest != listed[name]:
            yield f"{name}: its SHA-256 is {digest}, but the manifest says {listed[name]}"


def _check_account(about: Mapping[str, Any]) -> Iterator[str]:
    """Yield a finding unless every file that was found is used or rejected."""
    used, rejected = about["used"], {entry["path"] for entry in about["rejected"]}
    if used + len(about["rejected"]) != about["found"]:
        yield (
            f"manifest: {used} files used + {len(about['rejected'])} rejected is not"
            f" {about['found']} found"
        )
    if used != len(about["files"].keys() - rejected):
        yield (
            f"manifest: {used} files used, but {len(about['files'].keys() - rejected)} have a"
            " SHA-256"
        )
