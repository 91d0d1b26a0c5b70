"""`python -m data_prep describe DIR`: counts, class fractions, means and deviations, sizes."""

import argparse
import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from data_prep import prepared
from data_prep.dataset import IGNORE
from data_prep.errors import UserError
from data_prep.options import positive
from data_prep.parallel import ordered_map
from data_prep.prepared import Prepared, Shard


@dataclass
class Sums:
    """What the records of one shard, or of many, add up to.

    Attributes:
      num_records: Records.
      num_with_change: Records that say `has_change`.
      histogram: Pixels of each mask value, [256].
      moments: Image feature -> (pixels, sums [C], sums of squares [C]), exact whole numbers.
    """

    num_records: int = 0
    num_with_change: int = 0
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    moments: dict[str, tuple[int, list[int], list[int]]] = field(default_factory=dict)

    def add(self, other: "Sums") -> None:
        """Add what another holds."""
        self.num_records += other.num_records
        self.num_with_change += other.num_with_change
        self.histogram = self.histogram + other.histogram
        for name, moments in other.moments.items():
            self.moments[name] = _added(self.moments.get(name), moments)


_Moments = tuple[int, list[int], list[int]]


def _added(first: _Moments | None, second: _Moments) -> _Moments:
    if first is None:
        return second
    return (
        first[0] + second[0],
        [a + b for a, b in zip(first[1], second[1], strict=True)],
        [a + b for a, b in zip(first[2], second[2], strict=True)],
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    prepared.add_arguments(parser)
    parser.add_argument(
        "--output",
        nargs="?",
        const="",
        metavar="FILE",
        help="write it as JSON, too (default describe.json beside the manifest)",
    )
    parser.add_argument(
        "--num_workers", type=positive, default=os.cpu_count() or 1, help="processes"
    )


def run(args: argparse.Namespace) -> None:
    """Read every record, print a table, and write JSON where asked for.

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
        text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"written to {path}")


def describe(dataset: Prepared, *, num_workers: int) -> dict[str, Any]:
    """Sum up a dataset.

    Args:
      dataset: The dataset.
      num_workers: Number of processes that read; what they add up to does not depend on it.

    Returns:
      What `describe.json` holds. Means and standard deviations are exact: whole numbers are added
      and divided once. Pixels whose mask is 255 (padding, no data) count in none of them.

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
        total=len(shards),
        description="reading",
        unit=" shards",
    )
    for shard, part in zip(shards, parts, strict=True):
        sums[shard.split].add(part)
    about = dataset.manifest
    padding = (
        "pixels whose mask is 255 (padding, no data) are left out"
        if dataset.has_mask
        else "there is no mask: padding counts as pixels of 0"
    )
    description: dict[str, Any] = {
        key: about[key]
        for key in ("name", "version", "task", "tile_size", "num_bands", "dtype", "classes")
        if key in about
    }
    description["statistics"] = f"exact, population standard deviation; {padding}"
    description["splits"] = {split: _entry(dataset, split, part) for split, part in sums.items()}
    if "train" in sums and "mean" in description["splits"]["train"]["images"]:
        use = description["splits"]["train"]["images"]
        description["use"] = {"split": "train", "mean": use["mean"], "std": use["std"]}
    return description


def sum_shard(dataset: Prepared, shard: Shard) -> Sums:
    """Add up the records of one shard, one at a time.

    Raises:
      UserError: One cannot be read.
    """
    sums = Sums()
    records = dataset.records(shard)
    for index in range(len(records)):
        try:
            record = records[index]
        # ArrayRecord, protobuf, zlib and Pillow meet damage with nearly any exception type.
        except Exception as error:
            message = " ".join(str(error).split())
            raise UserError(
                f"{dataset.path(shard)}: record {index} cannot be read ({message}); see"
                " `python -m data_prep verify`"
            ) from error
        sums.num_records += 1
        sums.num_with_change += bool(record.get("has_change", False))
        valid = None
        if dataset.has_mask:
            sums.histogram += np.bincount(record["mask"].ravel(), minlength=256)
            valid = record["mask"][..., 0] != IGNORE
        for name in dataset.images:
            image = record[name]
            pixels = image.reshape(-1, image.shape[-1]) if valid is None else image[valid]
            sums.moments[name] = _added(sums.moments.get(name), _moments(pixels))
    return sums


def _moments(pixels: np.ndarray) -> _Moments:
    """[N, C] -> number, sums and sums of squares: below 2^63 for any tile under 2^31 pixels."""
    wide = pixels.astype(np.int64)
    return len(pixels), wide.sum(0).tolist(), np.square(wide).sum(0).tolist()


def _mean_and_deviation(moments: _Moments) -> dict[str, Any]:
    number, sums, squares = moments
    if not number:
        return {"num_pixels": 0}
    means = [Fraction(value, number) for value in sums]
    variances = [Fraction(s, number) - m * m for s, m in zip(squares, means, strict=True)]
    return {
        "num_pixels": number,
        "mean": [float(mean) for mean in means],
        "std": [math.sqrt(variance) for variance in variances],
    }


def _entry(dataset: Prepared, split: str, sums: Sums) -> dict[str, Any]:
    """Sum up a split."""
    about = dataset.manifest
    stored = sum(
        dataset.path(Shard(split, i)).stat().st_size for i in range(len(dataset.shards[split]))
    )
    band_bytes = np.dtype(about["dtype"]).itemsize * about["num_bands"] * len(dataset.images)
    raw = sums.num_records * about["tile_size"] ** 2 * (band_bytes + dataset.has_mask)
    entry: dict[str, Any] = {
        "num_records": sums.num_records,
        "num_scenes": about["splits"].get(split, {}).get("num_scenes"),
        "num_shards": len(dataset.shards[split]),
        "bytes": stored,
        "bytes_a_record": stored / max(sums.num_records, 1),
        "bytes_of_the_arrays": raw,
    }
    if dataset.has_mask:
        classes = sums.histogram[: len(about["classes"])]
        valid, every = int(classes.sum()), int(sums.histogram.sum())
        entry["class_pixels"] = dict(zip(about["classes"], classes.tolist(), strict=True))
        entry["class_fractions"] = {
            name: pixels / max(valid, 1) for name, pixels in entry["class_pixels"].items()
        }
        entry["ignore_fraction"] = int(sums.histogram[IGNORE]) / max(every, 1)
    if about["task"] == "cd":
        entry["num_with_change"] = sums.num_with_change
    together = None
    for moments in sums.moments.values():
        together = _added(together, moments)
    entry["images"] = _mean_and_deviation(together) if together else {"num_pixels": 0}
    if len(dataset.images) > 1:
        for name, moments in sums.moments.items():
            entry[name] = _mean_and_deviation(moments)
    return entry


def table(description: Mapping[str, Any]) -> str:
    """Return the description as lines to print."""
    lines = [
        f"{description['name']} ({description['task']}): tiles of {description['tile_size']} x"
        f" {description['tile_size']} pixels, {description['num_bands']} band(s) of"
        f" {description['dtype']}"
    ]
    rows = [["split", "scenes", "records", "MiB", "KiB a record", "of the raw arrays"]]
    has_change = description["task"] == "cd"
    rows[0] += [*description["classes"], *(["ignored"] if description["classes"] else [])]
    rows[0] += ["tiles with change"] if has_change else []
    for split, entry in description["splits"].items():
        row = [split, str(entry["num_scenes"]), str(entry["num_records"])]
        row += [f"{entry['bytes'] / 2**20:.2f}", f"{entry['bytes_a_record'] / 2**10:.2f}"]
        row.append(f"{entry['bytes'] / max(entry['bytes_of_the_arrays'], 1):.0%}")
        row += [f"{fraction:.4f}" for fraction in entry.get("class_fractions", {}).values()]
        row += [f"{entry['ignore_fraction']:.4f}"] if "ignore_fraction" in entry else []
        row += [str(entry["num_with_change"])] if has_change else []
        rows.append(row)
    lines += _aligned(rows)
    if description["classes"]:
        lines.append("  (fractions of classes are of the pixels that are not ignored)")
    rows = [["split", "images", "mean of each band", "standard deviation of each band"]]
    for split, entry in description["splits"].items():
        for name in ("images", "pre", "post"):
            if "mean" in entry.get(name, {}):
                rows.append([split, name, *(_numbers(entry[name][key]) for key in ("mean", "std"))])
    lines += _aligned(rows)
    lines.append(description["statistics"])
    if "use" in description:
        use = description["use"]
        lines.append(
            f"to use (train alone): mean {_numbers(use['mean'])}; standard deviation"
            f" {_numbers(use['std'])}"
        )
    return "\n".join(lines)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
