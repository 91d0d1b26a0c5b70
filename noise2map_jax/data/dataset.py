"""A prepared dataset on disk: ArrayRecord shards described by TFDS, and their manifest."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from noise2map_jax.errors import UserError

# What a config says of the records, and the manifest under the same names.
DATA_FIELDS = ("tile_size", "num_bands", "dtype", "classes")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset that `python -m data_prep` wrote whole.

    Attributes:
        directory: the folder of its version, with shards, `features.json`, `manifest.json`.
        manifest: what `data_prep` says of it.
    """

    directory: pathlib.Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return self.manifest["name"]

    @property
    def digest(self) -> str:
        """SHA-256 over the checksums of its shards: the same as long as its records are."""
        checksums = json.dumps(self.manifest["shards"], sort_keys=True)
        return hashlib.sha256(checksums.encode()).hexdigest()

    @property
    def splits(self) -> dict[str, Any]:
        """What the manifest says of each split that has records."""
        return {k: v for k, v in self.manifest["splits"].items() if v["num_records"]}

    def num_records(self, split: str) -> int:
        """Number of records of a split."""
        return int(self._split(split)["num_records"])

    def num_scenes(self, split: str) -> int:
        """Number of scenes of a split, files that its records were cut from."""
        return int(self._split(split)["num_scenes"])

    def class_pixels(self, split: str) -> list[int]:
        """Number of pixels of each class in a split, ignored ones left out."""
        return [int(n) for n in self._split(split)["class_pixels"]]

    def band_ranges(self) -> tuple[tuple[float, float], ...]:
        """Sensor values of each band of train that become -1 and 1: its 1st and 99th percentile.

        Raises:
            UserError: the manifest was written without them, or a band holds one value only.
        """
        bands = self._split("train").get("bands")
        if bands is None or any(band["low"] is None for band in bands):
            raise UserError(
                f"the manifest of dataset {self.name!r} has no ranges of bands for train; "
                "build it again with `python -m data_prep`, or set data.scaling=value_range"
            )
        ranges = tuple((float(band["low"]), float(band["high"])) for band in bands)
        for number, (low, high) in enumerate(ranges, start=1):
            if not low < high:
                raise UserError(
                    f"band {number} of dataset {self.name!r} goes from {low:g} to {high:g} in "
                    "train; leave it out, or set data.scaling=value_range"
                )
        return ranges

    @property
    def first_change_class(self) -> int:
        """The first class that is a change, for change detection."""
        return int(self.manifest.get("first_change_class", 1))

    def protocol(self, split: str) -> str:
        """Say in a line what a score on this split was measured on, and what its means are over."""
        return f"{self.describe(split)}; means over {', '.join(self.manifest['classes'])}"

    @property
    def format(self) -> int:
        """Number of the format it was written in: 1 has no places, and no mask without classes."""
        return int(self.manifest.get("format", 1))

    @property
    def places_known(self) -> bool:
        """Whether anything says which scenes show the same place; else each counts as its own."""
        return bool(self.manifest.get("places_known", False))

    def record_places(self, split: str) -> list[str]:
        """The place of each record: records of one place are no independent samples.

        Args:
            split: a split with N records.

        Returns:
            [N] names in the order of the records. Of a dataset of format 1, which has no places,
            the scene of each record, for which all of them are read.
        """
        info = self._split(split)
        if self.format > 1:
            pairs = zip(info["places"], info["scene_records"], strict=True)
            return [place for place, number in pairs for _ in range(number)]
        return [record_scene(record_id(record)) for record in self.source(split)]

    def describe(self, split: str) -> str:
        """Say in a line what a split is."""
        info = self._split(split)
        size = self.manifest["tile_size"]
        places = f" of {info['num_places']} places" if self.places_known else ""
        unknown = "" if self.places_known else ", whose places are not known"
        return (
            f"{self.name} {self.manifest['version']}, split {split}: {info['num_records']} tiles "
            f"of {size} x {size} from {info['num_scenes']} scenes{places}{unknown}; "
            f"{self.manifest['split_rule']}"
        )

    def source(self, split: str) -> Sequence[dict[str, Any]]:
        """Open a split for random access; records are decoded when they are read."""
        import tensorflow_datasets as tfds  # slow to import, and only readers need it

        self._split(split)
        return tfds.builder_from_directory(self.directory).as_data_source(split)

    def _split(self, split: str) -> dict[str, Any]:
        if split not in self.splits:
            raise UserError(
                f"dataset {self.name!r} has no {split!r} split; it has {', '.join(self.splits)}"
            )
        return self.splits[split]


def open_dataset(name: str, data_dir: str) -> Dataset:
    """Find a dataset that `data_prep` wrote.

    Args:
        name: its name.
        data_dir: the folder that holds the datasets.

    Returns:
        The dataset, in its newest version.

    Raises:
        UserError: there is none, or it was not written to its end.
    """
    folder = pathlib.Path(data_dir) / name
    versions = sorted(
        (p for p in folder.glob("*.*.*") if p.is_dir()),
        key=lambda p: [int(n) if n.isdigit() else -1 for n in p.name.split(".")],
    )
    if not versions:
        known = sorted(p.parents[1].name for p in pathlib.Path(data_dir).glob("*/*/manifest.json"))
        has = f"it holds {', '.join(known)}" if known else "it holds no dataset"
        raise UserError(
            f"no dataset {name!r} in {data_dir!r} ({has}); build it with `python -m data_prep`"
        )
    path = versions[-1] / "manifest.json"
    if not path.is_file():
        raise UserError(
            f"dataset {name!r} in {data_dir!r} has no manifest.json: its building was cut off; "
            "run `python -m data_prep` again"
        )
    try:
        manifest = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}); build the dataset again") from None
    return Dataset(versions[-1], manifest)


def check_dataset(
    dataset: Dataset,
    *,
    task: str,
    tile_size: int,
    num_bands: int,
    dtype: str,
    classes: Sequence[str],
) -> None:
    """Compare what an experiment expects of its records with what the manifest says.

    Raises:
        UserError: the first difference, with both values; or padding cannot be told from image.
    """
    expected = {
        "task": task,
        "tile_size": tile_size,
        "num_bands": num_bands,
        "dtype": dtype,
        "classes": list(classes),
    }
    if dataset.manifest["task"] == task == "denoise" and dataset.format < 2:
        raise UserError(
            f"dataset {dataset.name!r} was written in format {dataset.format}, in which images "
            "without labels have no mask that tells padding from image; build it again with "
            "`python -m data_prep`"
        )
    for key, value in expected.items():
        found = dataset.manifest[key]
        if key == "classes" and task == "denoise":
            continue  # unlabelled records have no classes
        if key == "task" and task == "denoise" and found != "cd":
            continue  # any image can be denoised
        if found != value:
            raise UserError(
                f"dataset {dataset.name!r} has {key} {found!r}, but the config says {value!r}"
            )


def record_scene(identifier: str) -> str:
    """The scene that a record with this id is a tile of: what comes before its row and column."""
    return identifier.rpartition("/")[0] or identifier


def record_id(record: dict[str, Any]) -> str:
    """The id of a record as text."""
    value = record["id"]
    return value.decode() if isinstance(value, bytes) else str(value)
