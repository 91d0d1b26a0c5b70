"""A prepared dataset on disk: ArrayRecord shards described by TFDS, and their manifest."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

from noise2map_jax import strict_json
from noise2map_jax.data.bucket_shards import BucketRecords, BucketShards
from noise2map_jax.errors import UserError

# Fields that describe the records, under the same names in a config and in the manifest.
DATA_FIELDS = ("tile_size", "num_bands", "dtype", "classes")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A complete dataset that `python -m data_prep` wrote.

    Attributes:
        directory: the folder of one version, with shards, `features.json`, `manifest.json`.
        manifest: the content of `manifest.json`, in which `data_prep` describes the dataset.
        shards: where shards come from that are not in the folder; None if all are.
    """

    directory: pathlib.Path
    manifest: dict[str, Any]
    shards: BucketShards | None = None

    @property
    def name(self) -> str:
        """The name of the dataset."""
        return self.manifest["name"]

    @property
    def digest(self) -> str:
        """SHA-256 over the checksums of the shards; it changes when a record does."""
        checksums = strict_json.dumps(self.manifest["shards"], sort_keys=True)
        return hashlib.sha256(checksums.encode()).hexdigest()

    @property
    def splits(self) -> dict[str, Any]:
        """The manifest's entry for each split that has records."""
        return {k: v for k, v in self.manifest["splits"].items() if v["num_records"]}

    def num_records(self, split: str) -> int:
        """Number of records of a split."""
        return int(self._split(split)["num_records"])

    def num_scenes(self, split: str) -> int:
        """Number of scenes of a split; a scene is a file that records were cut from."""
        return int(self._split(split)["num_scenes"])

    def class_pixels(self, split: str) -> list[int]:
        """Number of pixels of each class in a split, without ignored pixels."""
        return [int(n) for n in self._split(split)["class_pixels"]]

    def band_ranges(self) -> tuple[tuple[float, float], ...]:
        """The 1st and 99th percentile of each band in train: scaling maps them to -1 and 1.

        Raises:
            UserError: the manifest has no percentiles, or a band holds one value only.
        """
        bands = self._split("train").get("bands")
        if bands is None or any(band["low"] is None for band in bands):
            raise UserError(
                f"the manifest of dataset {self.name!r} has no band ranges for train; "
                "build it again with `python -m data_prep`, or set data.scaling=value_range"
            )
        ranges = tuple((float(band["low"]), float(band["high"])) for band in bands)
        for number, (low, high) in enumerate(ranges, start=1):
            if not low < high:
                raise UserError(
                    f"band {number} of dataset {self.name!r} ranges from {low:g} to {high:g} in "
                    "train; leave the band out, or set data.scaling=value_range"
                )
        return ranges

    @property
    def first_change_class(self) -> int:
        """Number of the first class that counts as change, for change detection."""
        return int(self.manifest.get("first_change_class", 1))

    def protocol(self, split: str) -> str:
        """Describe in one line the data of a split and the classes that mean scores average."""
        return f"{self.describe(split)}; means over {', '.join(self.manifest['classes'])}"

    @property
    def format(self) -> int:
        """Version of the manifest's format; format 1 has no places, and no masks without labels."""
        return int(self.manifest.get("format", 1))

    @property
    def places_known(self) -> bool:
        """Whether the manifest groups scenes by place; if not, each scene counts as a place."""
        return bool(self.manifest.get("places_known", False))

    def record_places(self, split: str) -> list[str]:
        """The place of each record: records of one place are not independent samples.

        Args:
            split: a split with N records.

        Returns:
            [N] names in the order of the records. Format 1 has no places: then the names are those
            of the scenes, and every record is read to find them.
        """
        if self.format > 1:
            pairs = zip(self.scene_places(split), self.scene_records(split), strict=True)
            return [place for place, number in pairs for _ in range(number)]
        return [record_scene(record_id(record)) for record in self.source(split)]

    def scene_places(self, split: str) -> list[str]:
        """The place of each scene, in the order of the records; raises as `scene_records`."""
        self.scene_records(split)
        return list(self._split(split)["places"])

    def scene_records(self, split: str) -> list[int]:
        """Number of records of each scene, in the order of the records.

        Raises:
            UserError: the manifest, of format 1, does not tell.
        """
        info = self._split(split)
        if "scene_records" not in info:
            raise UserError(
                f"dataset {self.name!r} was written in format {self.format}, which does not tell "
                "scenes apart; build it again with `python -m data_prep`"
            )
        return [int(number) for number in info["scene_records"]]

    def describe(self, split: str) -> str:
        """Describe a split in one line: tiles, scenes, places, and how the split was made."""
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
        if self.shards:
            return BucketRecords(self.shards, split)
        return tfds.builder_from_directory(self.directory).as_data_source(split)

    def _split(self, split: str) -> dict[str, Any]:
        if split not in self.splits:
            raise UserError(
                f"dataset {self.name!r} has no {split!r} split; it has {', '.join(self.splits)}"
            )
        return self.splits[split]


def check_dataset(
    dataset: Dataset,
    *,
    task: str,
    tile_size: int,
    num_bands: int,
    dtype: str,
    classes: Sequence[str],
) -> None:
    """Compare the records that an experiment expects with those that the manifest describes.

    Raises:
        UserError: a value differs (the message has both), or the records have no mask that marks
            padding.
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
    """The scene that a record is a tile of: its id up to the row and column."""
    return identifier.rpartition("/")[0] or identifier


def record_id(record: dict[str, Any]) -> str:
    """The id of a record as text."""
    value = record["id"]
    return value.decode() if isinstance(value, bytes) else str(value)
