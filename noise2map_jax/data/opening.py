"""Finds a dataset by its name, in a folder or in object storage."""

import dataclasses
import fnmatch
import json
import os
import pathlib
import uuid
from typing import Any, Protocol

from noise2map_jax.buckets.address import is_address, parse
from noise2map_jax.buckets.store import Store
from noise2map_jax.data.bucket_shards import BucketShards, cache_folder, writing_to
from noise2map_jax.data.dataset import Dataset
from noise2map_jax.errors import UserError

MANIFEST = "manifest.json"
_DESCRIPTIONS = ("dataset_info.json", "features.json")  # of TFDS


class Place(Protocol):
    """A folder of datasets; names are relative to it."""

    def folders(self, name: str = "") -> list[str]:
        """List the names of folders in a folder; none if it is not there."""

    def text(self, name: str) -> str | None:
        """Return the content of a file; None if it is not there."""


@dataclasses.dataclass(frozen=True)
class LocalPlace:
    """A folder of datasets on disk."""

    root: pathlib.Path

    def folders(self, name: str = "") -> list[str]:
        """List the names of folders in a folder; none if it is not there."""
        folder = self.root / name
        return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def text(self, name: str) -> str | None:
        """Return the content of a file; None if it is not there."""
        path = self.root / name
        return path.read_text() if path.is_file() else None


def open_dataset(name: str, data_dir: str) -> Dataset:
    """Find a dataset that `data_prep` wrote.

    Args:
        name: name of the dataset.
        data_dir: the folder that holds the datasets, or its address in object storage.

    Returns:
        The newest version of the dataset.

    Raises:
        UserError: there is no such dataset, its building was cut off, or the bucket cannot be used.
    """
    store = Store(parse(data_dir)) if is_address(data_dir) else None
    place = store or LocalPlace(pathlib.Path(data_dir))
    versions = sorted(
        fnmatch.filter(place.folders(name), "*.*.*"),
        key=lambda version: [int(n) if n.isdigit() else -1 for n in version.split(".")],
    )
    if not versions:
        known = [other for other in place.folders() if _is_dataset(place, other)]
        has = f"it holds {', '.join(known)}" if known else "it holds no dataset"
        raise UserError(
            f"no dataset {name!r} in {data_dir!r} ({has}); build it with `python -m data_prep`"
        )
    folder = f"{name}/{versions[-1]}"
    text = place.text(f"{folder}/{MANIFEST}")
    if text is None:
        raise UserError(
            f"dataset {name!r} in {data_dir!r} has no {MANIFEST}: its building was cut off; "
            "run `python -m data_prep` again"
        )
    try:
        manifest = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{data_dir}/{folder}/{MANIFEST} is not JSON ({error}); build the dataset again"
        ) from None
    if not isinstance(manifest, dict):
        raise _not_ours(f"{data_dir}/{folder}")
    if store:
        return _in_bucket(Store(store.address / folder), manifest)
    return Dataset(pathlib.Path(data_dir) / folder, manifest)


def _not_ours(folder: str) -> UserError:
    return UserError(f"{folder}/{MANIFEST} is not one of data_prep; build the dataset again")


def _is_dataset(place: Place, name: str) -> bool:
    return any(place.text(f"{name}/{v}/{MANIFEST}") is not None for v in place.folders(name))


def _in_bucket(store: Store, manifest: dict[str, Any]) -> Dataset:
    """Bring a dataset's descriptions into the cache."""
    if not {"version", "shards"} <= manifest.keys():
        raise _not_ours(str(store.address))
    found = Dataset(pathlib.Path(), manifest)
    name = f"{found.name}-{manifest['version']}-{found.digest[:16]}"
    folder = cache_folder() / "datasets" / name
    for file in _DESCRIPTIONS:
        text = store.text(file)
        if text is None:
            raise UserError(f"{store.address} has no {file}; copy the dataset there again")
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{file}.{uuid.uuid4().hex}.part"
            part.write_text(text)
            os.replace(part, folder / file)
    return Dataset(folder, manifest, BucketShards(store, manifest["shards"], folder))
