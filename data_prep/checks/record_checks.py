"""Reads the records of one shard of a prepared dataset, and checks them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_prep.basics.dataset import IGNORE
from data_prep.checks import look_alikes
from data_prep.checks.assembled_scene import assembled
from data_prep.checks.look_alikes import Picture
from data_prep.shards import histograms
from data_prep.shards.prepared import Prepared, Shard

_ID = re.compile(r"([^/]+)/(.+)/r(\d{5,})_c(\d{5,})")


@dataclass
class Report:
    """What the records of one shard hold.

    Attributes:
      findings: The faults, one sentence each.
      scenes: Names of the scenes in order.
      scene_records: Number of records of each scene.
      num_unreadable: Number of records that cannot be read; the counts below leave them out.
      foreground: Indices of the records with a pixel of a class above 0.
      class_pixels: Number of pixels of each class, [K].
      ignore_pixels: Number of pixels with the ignore value.
      num_with_change: Number of records whose `has_change` is True.
      band_counts: Number of pixels of each band value, ignored pixels left out; see `histograms`.
      pictures: Features of the images of each complete scene, see `look_alikes`.
    """

    findings: list[str] = field(default_factory=list)
    scenes: list[str] = field(default_factory=list)
    scene_records: list[int] = field(default_factory=list)
    num_unreadable: int = 0
    foreground: list[int] = field(default_factory=list)
    class_pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    ignore_pixels: int = 0
    num_with_change: int = 0
    band_counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    pictures: list[Picture] = field(default_factory=list)


def check_shard(dataset: Prepared, shard: Shard) -> Report:
    """Read and check the records of one shard.

    Args:
      dataset: The dataset.
      shard: The shard.

    Returns:
      What the shard holds, and its faults.
    """
    about = dataset.manifest
    report = Report(band_counts=histograms.zeros(about["num_bands"], about["dtype"]))
    entry = about["splits"].get(shard.split, {"scenes": [], "places": []})
    place_of = dict(zip(entry["scenes"], entry["places"], strict=True))
    tile_size = about["tile_size"]
    records = dataset.records(shard)
    positions: list[tuple[int, int]] = []
    tiles: list[Mapping[str, np.ndarray]] = []
    scene, previous, reason = None, "", ""

    def end_scene() -> None:
        if scene is not None and not report.num_unreadable:
            faults = [*_check_grid(f"{shard.split}/{scene}", positions, tile_size)]
            report.findings += faults
            if not faults and len(tiles) == len(positions):
                for image in assembled(positions, tiles, dataset.images):
                    report.pictures.append(look_alikes.picture(shard.split, scene, image))

    for index in range(len(records)):
        try:
            record = records[index]
        # On damaged data ArrayRecord, protobuf, zlib and Pillow raise nearly any exception type.
        except Exception as error:
            report.num_unreadable += 1
            reason = reason or f"{type(error).__name__}: {' '.join(str(error).split())}"
            continue
        key = _text(record.get("id"))
        where = key or f"{shard.split} record {index} of {dataset.path(shard).name}"
        wrong = [f"{where}: {text}" for text in _check_arrays(dataset, record)]
        report.findings += wrong
        _count(report, record, index)
        if not wrong:
            _count_bands(report, record, dataset.images)
        match = _ID.fullmatch(key)
        if match is None or match[1] != shard.split:
            report.findings.append(f"{where}: its id is not {shard.split}/SCENE/rROW_cCOLUMN")
            continue
        if key == previous:
            report.findings.append(f"{where}: the record exists twice")
        previous = key
        if match[2] != scene:
            end_scene()
            scene, positions, tiles = match[2], [], []
            report.scenes.append(scene)
            report.scene_records.append(0)
            if scene not in place_of:
                report.findings.append(
                    f"{where}: the manifest lists no scene {scene} in this split"
                )
        positions.append((int(match[3]), int(match[4])))
        tiles += [] if wrong else [record]
        report.scene_records[-1] += 1
        place = _text(record.get("place"))
        if place != place_of.get(scene, place):
            report.findings.append(
                f"{where}: its place is {place!r}, but the manifest says {place_of[scene]!r}"
            )
    end_scene()
    if report.num_unreadable:
        report.findings.append(
            f"{dataset.path(shard).name}: {report.num_unreadable} of {len(records)} records cannot"
            f" be read ({reason})"
        )
    return report


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _check_grid(scene: str, positions: Sequence[tuple[int, int]], tile_size: int) -> Iterator[str]:
    """Yield a finding unless the tiles of a scene cover it once, row by row."""
    rows, columns = zip(*positions, strict=True)
    expected = [
        (r, c)
        for r in range(min(rows), max(rows) + 1, tile_size)
        for c in range(min(columns), max(columns) + 1, tile_size)
    ]
    if list(positions) == expected:
        return
    counts = Counter(positions)
    lost = sorted(set(expected) - counts.keys())
    many = sorted(position for position, number in counts.items() if number > 1)
    other = sorted(counts.keys() - set(expected))
    for found, what in ((lost, "is missing"), (many, "is there twice"), (other, "is off the grid")):
        yield from (f"{scene}: tile r{r:05d}_c{c:05d} {what}" for r, c in found)
    if not (lost or many or other):
        yield f"{scene}: its tiles are not ordered by rows and columns"


def _check_arrays(dataset: Prepared, record: Mapping[str, Any]) -> Iterator[str]:
    about = dataset.manifest
    size, num_classes = about["tile_size"], len(about["classes"])
    for name in dataset.images:
        yield from _check_array(name, record, (size, size, about["num_bands"]), about["dtype"])
    yield from _check_array("mask", record, (size, size, 1), "uint8")
    if not isinstance(record.get("mask"), np.ndarray):
        return
    values = np.unique(record["mask"])
    wrong = [int(v) for v in values if v >= max(num_classes, 1) and v != IGNORE]
    if wrong:
        known = f"{num_classes} classes" if num_classes else "0"
        yield f"mask holds {', '.join(map(str, wrong))}; expected {known} and 255"
    if about["task"] == "cd":
        first = about.get("first_change_class", 1)
        has_change = bool(((values >= first) & (values < num_classes)).any())
        if "has_change" not in record:
            yield "has no feature has_change"
        elif bool(record["has_change"]) != has_change:
            yield f"has_change is {bool(record['has_change'])}, but its mask says {has_change}"


def _check_array(
    name: str, record: Mapping[str, Any], shape: tuple[int, ...], dtype: str
) -> Iterator[str]:
    array = record.get(name)
    if not isinstance(array, np.ndarray):
        yield f"has no feature {name}"
    elif array.shape != shape or str(array.dtype) != dtype:
        yield f"{name} is {array.dtype} {list(array.shape)}, not {dtype} {list(shape)}"


def _count(report: Report, record: Mapping[str, Any], index: int) -> None:
    if isinstance(record.get("mask"), np.ndarray):
        histogram = np.bincount(record["mask"].ravel().astype(np.int64), minlength=256)[:256]
        report.class_pixels += histogram
        report.ignore_pixels += int(histogram[IGNORE])
        if histogram[1:IGNORE].any():
            report.foreground.append(index)
    report.num_with_change += bool(record.get("has_change", False))


def _count_bands(report: Report, record: Mapping[str, Any], images: Sequence[str]) -> None:
    valid = record["mask"][..., 0] != IGNORE
    for name in images:
        report.band_counts += histograms.count(record[name], valid)
