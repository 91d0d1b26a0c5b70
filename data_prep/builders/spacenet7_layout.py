"""Finds the layout of SpaceNet7: which files belong to which month of which area."""

import datetime
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from data_prep.basics.dataset import SPLITS
from data_prep.basics.errors import UserError

# The first folder that holds labels is read, unless the user names one.
LABEL_FOLDERS = ("labels_match_pix", "labels_match", "labels", "labels_raster")
_IMAGES, _CLOUDS, _METADATA = "images_masked", "UDM_masks", "metadata_train.json"
_SUFFIX = {_IMAGES: ".tif", _CLOUDS: "_UDM.tif", "labels_raster": "_Buildings.tif"}
_NAME = re.compile(r"global_monthly_(\d{4})_(\d{2})_mosaic_(.+)")


@dataclass(frozen=True)
class Month:
    """An area in one month.

    Attributes:
      area: Name of the area's folder.
      year: Calendar year.
      month: 1 to 12.
      files: Role -> path: image, label, and udm where there are clouds.
      is_cloudy: Whether the owner masked clouds in it.
      is_labelled: Whether it has a label; True if no metadata say otherwise.
      problem: (path, reason) if one of its files is missing or misnamed, else None.
    """

    area: str
    year: int
    month: int
    files: Mapping[str, Path] = field(hash=False)
    is_cloudy: bool
    is_labelled: bool = True
    problem: tuple[Path, str] | None = None

    @property
    def date(self) -> datetime.date:
        """Its first day."""
        return datetime.date(self.year, self.month, 1)

    @property
    def name(self) -> str:
        """Year and month, as in the names of its files."""
        return f"{self.year:04d}_{self.month:02d}"


@dataclass(frozen=True)
class Layout:
    """What a SpaceNet7 folder holds.

    Attributes:
      source: The folder that paths in the manifest are relative to.
      description: The layout in words.
      labels: The folder of the labels, one of LABEL_FOLDERS.
      areas: Area -> its months in order.
      knows_clouds: Whether it is known which months have clouds.
      metadata: The metadata file of the paper authors' layout; None in the owner's layout.
      strays: File in a folder of images, labels or clouds whose name gives no month of the area ->
        why it is rejected.
    """

    source: Path
    description: str
    labels: str
    areas: Mapping[str, Sequence[Month]]
    knows_clouds: bool
    metadata: Path | None = None
    strays: Mapping[Path, str] = field(default_factory=dict)


def find(source: Path, labels: str) -> Layout:
    """Find the months of a SpaceNet7 folder.

    Args:
      source: The folder that holds `train`, or `train` itself.
      labels: One of LABEL_FOLDERS, or auto: the first of them that holds files.

    Returns:
      The layout. No image and no label has been opened.

    Raises:
      UserError: The folder is missing or holds no SpaceNet7 areas.
    """
    if not source.is_dir():
        raise UserError(f"--source={source}: {'not a folder' if source.exists() else 'not found'}")
    train = source / "train" if (source / "train").is_dir() else source
    areas = sorted(path for path in train.iterdir() if (path / _IMAGES).is_dir())
    if not areas:
        raise UserError(
            f"--source={source}: no area folder with {_IMAGES} in it, neither here nor in train"
        )
    held = [f for f in LABEL_FOLDERS if any(_listed(area / f, f) for area in areas)]
    if not held or (labels != "auto" and labels not in held):
        wanted = " nor ".join(LABEL_FOLDERS) if labels == "auto" else labels
        raise UserError(f"--source={source}: no area has labels in {wanted}")
    folder = held[0] if labels == "auto" else labels
    metadata = listed = None
    if folder == "labels_raster":
        places = (source, train, train.parent if source == train else train)
        metadata = next((p / _METADATA for p in places if (p / _METADATA).is_file()), None)
        listed = _read_metadata(metadata) if metadata else None
    strays: dict[Path, str] = {}
    for area in sorted(path for path in train.iterdir() if path.is_dir() and path not in areas):
        for path in sorted(p for p in area.rglob("*") if p.suffix.lower() in (".tif", ".tiff")):
            strays[path] = f"lies in an area that has no folder {_IMAGES}"
    found = {area.name: _months(area, folder, listed, strays) for area in areas}
    owner = "the layout of the paper's authors" if folder == "labels_raster" else "the owner's"
    description = f"{owner}: train/<area>/{{{_IMAGES},{folder},{_CLOUDS}}}"
    if metadata:
        description += f" and {_METADATA}"
    knows_clouds = (
        folder != "labels_raster"
        or metadata is not None
        or any((area / _CLOUDS).is_dir() for area in areas)
    )
    root = metadata.parent if metadata else source
    return Layout(root, description, folder, found, knows_clouds, metadata, strays)


def paper_split() -> Mapping[str, str]:
    """Return area -> train, val, test, or unused, after Hafner et al. 2023."""
    text = resources.files("data_prep.protocols").joinpath("spacenet7.json").read_text("utf-8")
    protocol = json.loads(text)
    return {area: split for split in (*SPLITS, "unused") for area in protocol[split]}


def select(months: Sequence[Month], rule: str) -> list[Month]:
    """Choose months of an area.

    Args:
      months: Months of the area in order.
      rule: all, cloud_free, last, or every:N (the first, and each Nth after it).
    """
    labelled = [month for month in months if month.is_labelled]
    if rule == "cloud_free":
        return [month for month in labelled if not month.is_cloudy]
    if rule == "last":
        return labelled[-1:]
    return labelled[:: int(rule.removeprefix("every:"))] if rule != "all" else labelled


def pair(months: Sequence[Month], rule: str, min_gap_days: int) -> list[tuple[Month, Month]]:
    """Choose pairs of months of an area.

    Args:
      months: Months of the area in order.
      rule: consecutive, first_last, or gap: each month with the next one that is at least
        `min_gap_days` later.
      min_gap_days: Least number of days between the first days of the two months.
    """
    if rule == "consecutive":
        return list(itertools.pairwise(months))
    if rule == "first_last":
        return [(months[0], months[-1])] if len(months) > 1 else []
    pairs = []
    for index, pre in enumerate(months):
        later = (m for m in months[index + 1 :] if (m.date - pre.date).days >= min_gap_days)
        post = next(later, None)
        if post:
            pairs.append((pre, post))
    return pairs


def _listed(folder: Path, role: str) -> list[Path]:
    """Return the files of a role; the folder may hold others (UDM polygons, system files)."""
    if not folder.is_dir():
        return []
    suffix = _SUFFIX.get(role, "_Buildings.geojson")
    return sorted(p for p in folder.iterdir() if p.name.endswith(suffix) and p.name[0] != ".")


def _misnamed(folder: Path, suffix: str) -> dict[Path, str]:
    """Return the rasters of a folder with another suffix, such as one in capitals."""
    if not folder.is_dir() or not suffix.endswith(".tif"):
        return {}
    return {
        path: f"does not end in {suffix}"
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in (".tif", ".tiff") and not path.name.endswith(suffix)
        if path.name[0] != "."
    }


def _months(
    area: Path,
    labels: str,
    listed: Mapping[tuple[str, int, int], tuple[bool, bool]] | None,
    strays: dict[Path, str],
) -> list[Month]:
    """Match the files of an area by the month in their names."""
    files: dict[tuple[int, int], dict[str, Path]] = defaultdict(dict)
    for role, folder in (("image", _IMAGES), ("label", labels), ("udm", _CLOUDS)):
        suffix = _SUFFIX.get(folder, "_Buildings.geojson")
        strays |= _misnamed(area / folder, suffix)
        for path in _listed(area / folder, folder):
            match = _NAME.fullmatch(path.name.removesuffix(suffix))
            if not match or not 1 <= int(match[2]) <= 12 or not int(match[1]):
                strays[path] = f"is not named global_monthly_<yyyy>_<mm>_mosaic_<area>{suffix}"
            elif match[3] != area.name:
                strays[path] = f"names the area {match[3]}, but lies in {area.name}"
            else:
                files[int(match[1]), int(match[2])][role] = path
    months = []
    for (year, month), of_month in sorted(files.items()):
        is_cloudy, is_labelled, problem = "udm" in of_month, True, None
        first = next(iter(of_month.values()))
        if listed is not None:
            if (area.name, year, month) in listed:
                masked, is_labelled = listed[area.name, year, month]
                is_cloudy |= masked
            else:
                problem = (first, f"belongs to a month that {_METADATA} does not list")
        if "image" not in of_month:
            problem = (first, f"has no image of the same month in {_IMAGES}")
        elif "label" not in of_month:
            problem = (first, f"has no label of the same month in {labels}")
        months.append(Month(area.name, year, month, of_month, is_cloudy, is_labelled, problem))
    return months


def _read_metadata(path: Path) -> dict[tuple[str, int, int], tuple[bool, bool]]:
    """Read (area, year, month) -> (whether clouds were masked, whether there is a label)."""
    try:
        areas: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            (area, int(entry["year"]), int(entry["month"])): (
                bool(entry["mask"]),
                bool(entry.get("label", True)),
            )
            for area, entries in areas.items()
            for entry in entries
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: does not hold a list of {{year, month, mask, label}} for each area"
            f" ({type(error).__name__}: {error})"
        ) from error
