"""Records that lie in object storage are those of the folder, and only their shards are fetched."""

import errno
import hashlib
import json
import os

import memory_storage
import numpy as np
import pytest

from noise2map_jax.buckets import store
from noise2map_jax.buckets.store import BucketError
from noise2map_jax.data import bucket_shards
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.errors import UserError

FOLDER = "/bucket/data/thin_ss/1.0.0"


@pytest.fixture
def memory(thin_data, monkeypatch, tmp_path):
    """A copy of the thin dataset in object storage, and an empty cache."""
    files = memory_storage.Memory()
    monkeypatch.setattr(store, "_open", lambda scheme: (files, store._Errors((), (), ())))
    monkeypatch.setenv("NOISE2MAP_CACHE", str(tmp_path / "cache"))
    for path in (thin_data / "thin_ss" / "1.0.0").iterdir():
        files.pipe_file(f"{FOLDER}/{path.name}", path.read_bytes())
    return files


def shard(split):
    return f"thin_ss-{split}.array_record-00000-of-00001"


def cached(dataset):
    return {path.name for path in dataset.directory.iterdir()}


def test_records_are_those_of_the_local_dataset(memory, thin_data):
    there, here = (
        open_dataset("thin_ss", "gs://bucket/data"),
        open_dataset("thin_ss", str(thin_data)),
    )
    assert there.digest == here.digest
    assert there.protocol("val") == here.protocol("val")
    descriptions = {"dataset_info.json", "features.json"}
    assert cached(there) == descriptions
    records, expected = there.source("val"), here.source("val")
    assert cached(there) == descriptions  # nothing is fetched before it is read
    assert len(records) == len(expected) == 11
    for i in (10, 0, np.int64(4)):
        assert records[i]["id"] == expected[int(i)]["id"]
        np.testing.assert_array_equal(records[i]["image"], expected[int(i)]["image"])
    assert [r["id"] for r in records] == [r["id"] for r in expected]
    assert cached(there) == descriptions | {shard("val")}
    for i in (11, -1):
        with pytest.raises(IndexError):
            records[i]


def test_a_shard_in_the_cache_is_not_fetched_again(memory):
    next(iter(open_dataset("thin_ss", "s3://bucket/data").source("val")))
    memory.rm_file(f"{FOLDER}/{shard('val')}")
    assert len(list(open_dataset("thin_ss", "s3://bucket/data").source("val"))) == 11
    with pytest.raises(UserError, match="no 'none' split"):
        open_dataset("thin_ss", "s3://bucket/data").source("none")


def test_of_several_shards_only_those_that_are_read_are_fetched(memory, monkeypatch):
    manifest = json.loads(memory.cat_file(f"{FOLDER}/manifest.json"))
    info = json.loads(memory.cat_file(f"{FOLDER}/dataset_info.json"))
    (val,) = (split for split in info["splits"] if split["name"] == "val")
    val["shardLengths"] = ["4", "4", "3"]
    names = [f"thin_ss-val.array_record-0000{i}-of-00003" for i in range(3)]
    content = memory.cat_file(f"{FOLDER}/{shard('val')}")
    for name in names:  # each holds all eleven records, of which the first ones are its own
        memory.pipe_file(f"{FOLDER}/{name}", content)
        manifest["shards"][name] = hashlib.sha256(content).hexdigest()
    memory.pipe_file(f"{FOLDER}/manifest.json", json.dumps(manifest).encode())
    memory.pipe_file(f"{FOLDER}/dataset_info.json", json.dumps(info).encode())
    dataset = open_dataset("thin_ss", "s3://bucket/data")
    records = dataset.source("val")
    first = [records[i]["id"] for i in (4, 5, 6, 7)]
    assert {name for name in cached(dataset) if "val" in name} == {names[1]}
    assert [records[i]["id"] for i in (8, 9, 10)] == first[:3]
    assert {name for name in cached(dataset) if "val" in name} == {names[1], names[2]}


def test_a_damaged_shard_is_named_and_not_kept(memory):
    content = bytearray(memory.cat_file(f"{FOLDER}/{shard('train')}"))
    content[len(content) // 2] ^= 1
    memory.pipe_file(f"{FOLDER}/{shard('train')}", bytes(content))
    dataset = open_dataset("thin_ss", "s3://bucket/data")
    with pytest.raises(BucketError) as error:
        dataset.source("train")[0]
    text = str(error.value)
    assert f"s3:/{FOLDER}/{shard('train')} is damaged: its SHA-256 is " in text
    assert hashlib.sha256(content).hexdigest() in text
    assert dataset.manifest["shards"][shard("train")] in text
    assert "\n" not in text
    assert cached(dataset) == {"dataset_info.json", "features.json"}


def test_a_shard_damaged_on_its_way_is_fetched_again(memory):
    get_file, calls = memory.get_file, []

    def damage_the_first(there, here, **options):
        get_file(there, here, **options)
        calls.append(there)
        if len(calls) == 1:
            with open(here, "r+b") as file:
                file.write(b"damage")

    memory.get_file = damage_the_first
    assert open_dataset("thin_ss", "s3://bucket/data").source("val")[0]["image"].shape == (
        32,
        32,
        3,
    )
    assert len(calls) == 2


def test_a_dataset_that_was_built_anew_has_another_cache(memory):
    before = open_dataset("thin_ss", "s3://bucket/data")
    next(iter(before.source("val")))
    manifest = json.loads(memory.cat_file(f"{FOLDER}/manifest.json"))
    manifest["shards"][shard("val")] = "0" * 64
    memory.pipe_file(f"{FOLDER}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(BucketError, match="is damaged"):
        next(iter(open_dataset("thin_ss", "s3://bucket/data").source("val")))


def test_what_is_not_there_is_said_as_of_a_folder(memory):
    with pytest.raises(
        UserError, match=r"no dataset 'other' in 's3://bucket/data' .*holds thin_ss"
    ):
        open_dataset("other", "s3://bucket/data")
    memory.rm_file(f"{FOLDER}/features.json")
    with pytest.raises(UserError, match=r"s3://bucket/data/thin_ss/1.0.0 has no features.json"):
        open_dataset("thin_ss", "s3://bucket/data")
    memory.rm_file(f"{FOLDER}/manifest.json")
    with pytest.raises(UserError, match=r"no manifest.json: its building was cut off"):
        open_dataset("thin_ss", "s3://bucket/data")


@pytest.mark.parametrize("text", ["[]", "{}", '{"version": "1.0.0"}'])
def test_a_manifest_of_something_else_is_named(memory, text):
    memory.pipe_file(f"{FOLDER}/manifest.json", text.encode())
    with pytest.raises(UserError, match=r"thin_ss/1.0.0/manifest.json is not one of data_prep"):
        open_dataset("thin_ss", "s3://bucket/data")


def test_a_cache_that_cannot_be_written_is_named(memory, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NOISE2MAP_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BucketError, match=r"file/cache.*Not a directory.*NOISE2MAP_CACHE=FOLDER"):
        open_dataset("thin_ss", "s3://bucket/data")


def test_a_full_cache_is_named(memory):
    dataset = open_dataset("thin_ss", "s3://bucket/data")

    def full(there, here, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    memory.get_file = full
    with pytest.raises(BucketError, match=r"No space left on device.*make room") as error:
        next(iter(dataset.source("val")))
    assert str(dataset.directory) in str(error.value)


def test_the_cache_is_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.delenv("NOISE2MAP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert bucket_shards.cache_folder() == tmp_path / "noise2map_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert str(bucket_shards.cache_folder()) == os.path.expanduser("~/.cache/noise2map_jax")
