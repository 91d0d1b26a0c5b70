"""`python -m data_prep describe DIR`: print counts, class fractions, band statistics and sizes."""

import argparse
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics import strict_json
from data_prep.basics.dataset import IGNORE
from data_prep.basics.errors import UserError
from data_prep.basics.parallel import ordered_map
from data_prep.shards import histograms, prepared
from data_prep.shards.prepared import Prepared, Shard

# Key in JSON -> words in the table.
_STATISTICS = {"mean": "mean", "std": "standard deviation", "low": "low", "high": "high"}


@dataclass
class Sums:
    """Sums over the records of one shard, or of many.

    Attributes:
      num_records: Number of records.
      num_with_change: Number of records whose `has_change` is True.
      histogram: Number of pixels of each mask value, [256].
      band_counts: Image feature -> number of pixels of each value of its bands, see `histograms`.
    """

    num_records: int = 0
    num_with_change: int = 0
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    band_counts: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, other: "Sums") -> None:
        """Add the sums of another object."""
        self.num_records += other.num_records
        self.num_with_change += other.num_with_change
        self.histogram += other.histogram
        for name, counts in other.band_counts.items():
            self.add_bands(name, counts)

    def add_bands(self, name: str, counts: np.ndarray) -> None:
        """Add the band counts of an image feature."""
        if name in self.band_counts:
            self.band_counts[name] += counts
        else:
            self.band_counts[name] = counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    prepared.add_arguments(parser)
    parser.add_argument(
        "--output",
        nargs="?",
        const="",
        metavar="FILE",
        help="write the description as JSON, too (default describe.json beside the manifest)",
    )


def run(args: argparse.Namespace) -> None:
    """Read every record, print a table, and write JSON if asked for.

    Args:
      args: The parsed options.

    Raises:
      UserError: There is no dataset, or a record cannot be read.
    """
    dataset = prepared.open_prepared(args.directory)
    description = describe(dataset, num_workers=args.num_workers)
    print(table(description))
    if args.output is not None:
        path = Path(args.output) if args.output else dataset.folder / "describe.json"
        text = strict_json.dumps(description, indent=1, ensure_ascii=False) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"written to {path}")


def describe(dataset: Prepared, *, num_workers: int) -> dict[str, Any]:
    """Sum up a dataset.

    Args:
      dataset: The dataset.
      num_workers: Number of processes that read; the result does not depend on it.

    Returns:
      The content of `describe.json`. Means, standard deviations and percentiles are exact; pixels
      whose mask is 255 (padding, no data) count in none of them.

    Raises:
      UserError: A record cannot be read.
    """
    shards = dataset.every_shard()
    light = replace(dataset, manifest={**dataset.manifest, "files": {}, "rejected": []})
    sums: dict[str, Sums] = {split: Sums() for split in dataset.shards}
    parts = ordered_map(
        functools.partial(sum_shard, light),
        shards,
        num_workers=num_workers,
        description="reading",
        unit="shards",
    )
    for shard, part in zip(shards, parts, strict=True):
        sums[shard.split].add(part)
    about = dataset.manifest
    description: dict[str, Any] = {
        key: about[key]
        for key in ("name", "version", "task", "tile_size", "num_bands", "dtype", "classes")
        if key in about
    }
    description["statistics"] = (
        f"exact; population standard deviation; low and high are percentiles {histograms.LOW} and"
        f" {histograms.HIGH}; pixels whose mask is 255 (padding, no data) are left out"
    )
    description["places"] = about["place_rule"]
    description["splits"] = {split: _entry(dataset, split, part) for split, part in sums.items()}
    if "train" in sums and "mean" in description["splits"]["train"]["images"]:
        use = description["splits"]["train"]["images"]
        description["use"] = {"split": "train", **{key: use[key] for key in _STATISTICS}}
    return description


def sum_shard(dataset: Prepared, shard: Shard) -> Sums:
    """Add up the records of one shard, one record at a time.

    Raises:
      UserError: A record cannot be read.
    """
    sums = Sums()
    records = dataset.records(shard)
    for index in range(len(records)):
        try:
            record = records[index]
        # On damaged data ArrayRecord, protobuf, zlib and Pillow raise nearly any exception type.
        except Exception as error:
            message = " ".join(str(error).split())
            raise UserError(
                f"{dataset.path(shard)}: record {index} cannot be read ({message}); see"
                " `python -m data_prep verify`"
            ) from error
        sums.num_records += 1
        sums.num_with_change += bool(record.get("has_change", False))
        sums.histogram += np.bincount(record["mask"].ravel(), minlength=256)
        valid = record["mask"][..., 0] != IGNORE
        for name in dataset.images:
            sums.add_bands(name, histograms.count(record[name], valid))
    return sums


def _of_bands(counts: np.ndarray) -> dict[str, Any]:
    """Return the number of pixels, and each statistic as a list over the bands."""
    number = int(counts[0].sum())
    if not number:
        return {"num_pixels": 0}
    bands = histograms.statistics(counts)
    return {"num_pixels": number, **{key: [band[key] for band in bands] for key in _STATISTICS}}


def _entry(dataset: Prepared, split: str, sums: Sums) -> dict[str, Any]:
    """Describe a split."""
    about = dataset.manifest
    stored = sum(
        dataset.path(Shard(split, i)).stat().st_size for i in range(len(dataset.shards[split]))
    )
    band_bytes = np.dtype(about["dtype"]).itemsize * about["num_bands"] * len(dataset.images)
    raw = sums.num_records * about["tile_size"] ** 2 * (band_bytes + 1)
    entry: dict[str, Any] = {
        "num_records": sums.num_records,
        "num_scenes": about["splits"].get(split, {}).get("num_scenes"),
        "num_places": about["splits"].get(split, {}).get("num_places"),
        "num_shards": len(dataset.shards[split]),
        "bytes": stored,
        "bytes_a_record": stored / max(sums.num_records, 1),
        "bytes_of_the_arrays": raw,
    }
    entry["ignore_fraction"] = int(sums.histogram[IGNORE]) / max(int(sums.histogram.sum()), 1)
    if dataset.has_classes:
        classes = sums.histogram[: len(about["classes"])]
        valid = int(classes.sum())
        entry["class_pixels"] = dict(zip(about["classes"], classes.tolist(), strict=True))
        entry["class_fractions"] = {
            name: pixels / max(valid, 1) for name, pixels in entry["class_pixels"].items()
        }
    if about["task"] == "cd":
        entry["num_with_change"] = sums.num_with_change
    every_image = [*sums.band_counts.values()]
    entry["images"] = {"num_pixels": 0}
    if every_image:
        entry["images"] = _of_bands(np.sum(every_image, axis=0))
    if len(dataset.images) > 1:
        for name, counts in sums.band_counts.items():
            entry[name] = _of_bands(counts)
    return entry


def table(description: Mapping[str, Any]) -> str:
    """Return the description as lines to print."""
    lines = [
        f"{description['name']} ({description['task']}): tiles of {description['tile_size']} x"
        f" {description['tile_size']} pixels, {description['num_bands']} band(s) of"
        f" {description['dtype']}"
    ]
    rows = [["split", "scenes", "places", "records", "MiB", "KiB a record", "of the raw arrays"]]
    has_change = description["task"] == "cd"
    rows[0] += [*description["classes"], "ignored"]
    rows[0] += ["tiles with change"] if has_change else []
    for split, entry in description["splits"].items():
        row = [split, *(str(entry[f"num_{what}"]) for what in ("scenes", "places", "records"))]
        row += [f"{entry['bytes'] / 2**20:.2f}", f"{entry['bytes_a_record'] / 2**10:.2f}"]
        row.append(f"{entry['bytes'] / max(entry['bytes_of_the_arrays'], 1):.0%}")
        row += [f"{fraction:.4f}" for fraction in entry.get("class_fractions", {}).values()]
        row.append(f"{entry['ignore_fraction']:.4f}")
        row += [str(entry["num_with_change"])] if has_change else []
        rows.append(row)
    lines += _aligned(rows)
    if description["classes"]:
        lines.append("  (class fractions are shares of the pixels that are not ignored)")
    rows = [["split", "images", *(f"{_STATISTICS[key]} of each band" for key in _STATISTICS)]]
    for split, entry in description["splits"].items():
        for name in ("images", "pre", "post"):
            if "mean" in entry.get(name, {}):
                rows.append([split, name, *(_numbers(entry[name][key]) for key in _STATISTICS)])
    lines += _aligned(rows)
    lines.append(f"places: {description['places']}")
    lines.append(description["statistics"])
    if "use" in description:
        told = (f"{what} {_numbers(description['use'][k])}" for k, what in _STATISTICS.items())
        lines.append(f"for scaling (train only): {'; '.join(told)}")
    return "\n".join(lines)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in values)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
