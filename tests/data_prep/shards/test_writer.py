"""Shards: the same bytes every time, whole or not there, readable without data_prep."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import numpy as np
import programs
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.basics import parallel
from data_prep.basics.dataset import Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Unusable
from data_prep.shards import manifest, shard_plan, writer

ABOUT = {"source": "toy", "notes": [], "place_rule": "toy", "places_known": True}


def draw(scene):
    """Stand in for a loader; at module level, for workers import it."""
    rng = np.random.default_rng([scene.index, scene.split == "train"])
    shape = (scene.height, scene.width)
    return {
        "image": rng.integers(0, 256, (*shape, 3), np.uint8),
        "mask": rng.integers(0, 2, (*shape, 1), np.uint8),
    }


def broken(scene):
    if scene.index == 2:
        raise UserError("scene 2 is broken")
    return draw(scene)


def damaged(scene):
    """Some scenes have a damaged image; each has a file of its own, and one common to all."""
    if scene.index in (2, 3):
        raise Unusable({scene.files["image"]: "is cut off"})
    return draw(scene)


def dataset(load=draw, num_scenes=5, source=None, on_error="fail"):
    layout = RecordFormat("ss", 16, 3, "uint8", ("background", "building"))

    def files(split, i):
        if source is None:
            return {}
        return {"image": source / f"{split}_{i}.png", "mask": source / "masks.png"}

    found = {path for s in ("train", "test") for i in range(5) for path in files(s, i).values()}
    for path in found:
        path.write_bytes(path.name.encode())
    scenes = tuple(
        Scene(f"s{i}", split, i, 30, 20 + i, files(split, i))
        for split in ("train", "test")
        for i in range(num_scenes)
    )
    return Dataset("toy", layout, scenes, load, ABOUT, source, len(found), on_error=on_error)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_are_whole_scenes_in_order_and_bounded(monkeypatch, tmp_path):
    scene_bytes = 4 * 16 * 16 * 3
    monkeypatch.setattr(shard_plan, "SHARD_BYTES", 2 * scene_bytes)
    plan = shard_plan.of(dataset())
    names = {split: [[s.name for s in shard] for shard in of] for split, of in plan.items()}
    assert names["train"] == names["test"] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    writer.write(dataset(), tmp_path, num_workers=1)
    files = sorted(path.name for path in (tmp_path / "toy/1.0.0").glob("*array_record*"))
    assert len(files) == 6
    assert files[-1] == "toy-train.array_record-00002-of-00003"


def test_the_bytes_do_not_depend_on_the_workers(tmp_path):
    for workers in (1, 2):
        writer.write(dataset(), tmp_path / str(workers), num_workers=workers)
    one, two = (contents(tmp_path / workers / "toy/1.0.0") for workers in "12")
    assert one == two
    assert {"manifest.json", "features.json", "dataset_info.json"} < set(one)


def test_an_error_leaves_nothing_behind(tmp_path):
    for workers in (1, 2):
        with pytest.raises(UserError, match="scene 2 is broken"):
            writer.write(dataset(broken), tmp_path, num_workers=workers)
        assert [path.name for path in (tmp_path / "toy").iterdir()] == [".lock"]
        assert manifest.read(tmp_path / "toy/1.0.0") is None


def test_damage_is_listed_at_the_end_and_leaves_nothing(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(UserError) as error:
        writer.write(dataset(damaged, source=source), tmp_path / "out", num_workers=1)
    assert str(error.value).splitlines()[1:] == [
        "4 files (test_2.png, test_3.png, train_2.png, ...): is cut off"
    ]
    assert [path.name for path in (tmp_path / "out/toy").iterdir()] == [".lock"]


@pytest.mark.parametrize("workers", [1, 2])
def test_skipped_damage_is_accounted_for(tmp_path, monkeypatch, workers):
    """Also where all scenes of a shard are damaged: here every shard holds two scenes."""
    monkeypatch.setattr(shard_plan, "SHARD_BYTES", 2 * 4 * 16 * 16 * 3)
    source = tmp_path / "source"
    source.mkdir()
    plan = dataset(damaged, source=source, on_error="skip")
    written = writer.write(plan, tmp_path / "out", num_workers=workers)
    assert written["splits"]["train"]["scenes"] == ["s0", "s1", "s4"]
    assert written["splits"]["test"]["rejected_scenes"] == ["s2", "s3"]
    assert (written["found"], written["used"], len(written["rejected"])) == (11, 7, 4)
    assert written["files"]["masks.png"] == hashlib.sha256(b"masks.png").hexdigest()
    assert set(written["files"]) & {entry["path"] for entry in written["rejected"]} == set()
    data = tfds.builder("toy", data_dir=tmp_path / "out").as_data_source("train")
    assert [record["id"].decode().split("/")[1] for record in data][::4] == ["s0", "s1", "s4"]
    folder = tmp_path / "out/toy/1.0.0"
    for name, digest in written["shards"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert len(written["shards"]) == 6


def test_a_split_without_a_usable_scene_is_an_error(tmp_path):
    def damaged_train(scene):
        return damaged(dataclasses.replace(scene, index=2 if scene.split == "train" else 0))

    plan = dataset(damaged_train, source=tmp_path, on_error="skip", num_scenes=1)
    with pytest.raises(UserError, match=r"no scene is left for train: train_0\.png: is cut off"):
        writer.write(plan, tmp_path / "out", num_workers=1)


def test_two_writers_do_not_meet(tmp_path):
    def second_writer(scene):
        with pytest.raises(UserError, match="another process is writing this dataset"):
            writer.write(dataset(), tmp_path, num_workers=1)
        return draw(scene)

    writer.write(dataset(second_writer), tmp_path, num_workers=1)
    assert manifest.read(tmp_path / "toy/1.0.0") is not None


def test_a_file_that_is_no_manifest_is_an_error(tmp_path):
    for text in ("{", "[]", "[" * 100_000):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(UserError, match=r"manifest\.json: not a manifest"):
            manifest.read(tmp_path)


READ = """
import json, sys
import tensorflow_datasets as tfds
data = tfds.builder("toy", data_dir=sys.argv[1]).as_data_source("train")
record = data[len(data) - 1]
assert "data_prep" not in sys.modules and "tensorflow" not in sys.modules
print(json.dumps([len(data), record["id"].decode(), record["image"].tolist(),
                  record["mask"].tolist()]))
"""


def test_another_process_reads_the_records_without_data_prep_and_tensorflow(tmp_path):
    writer.write(dataset(), tmp_path, num_workers=1)
    command = [sys.executable, "-c", READ, str(tmp_path)]
    output = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    number, key, image, mask = json.loads(output.stdout)
    scene = next(s for s in dataset().scenes if s.split == "train" and s.name == "s4")
    arrays = draw(scene)
    assert (number, key) == (5 * 4, "train/s4/r00016_c00016")
    np.testing.assert_array_equal(np.array(image)[:14, :8], arrays["image"][16:, 16:])
    np.testing.assert_array_equal(np.array(mask)[:14, :8], arrays["mask"][16:, 16:])
    assert (np.array(mask)[14:] == 255).all()


def test_processes_with_other_hash_seeds_write_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        for role in ("image", "mask"):
            (tmp_path / "source" / role).mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"source/image/{i}.png")
        Image.fromarray(image[..., 0] // 128).save(tmp_path / f"source/mask/{i}.png")
    for seed in "12":
        command = [sys.executable, "-W", "error", "-m", "data_prep", "folder", "--tile_size=16"]
        command += [f"--source={tmp_path / 'source'}", f"--data_dir={tmp_path / seed}"]
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(programs.ROOT)}
        done = subprocess.run(
            [*command, f"--num_workers={seed}"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    one, two = (contents(tmp_path / seed / "source/1.0.0") for seed in "12")
    assert one == two
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["source"]


def test_results_come_in_order_from_several_processes():
    options = {"description": "counting", "unit": "numbers"}
    assert list(parallel.ordered_map(hex, range(20), num_workers=2, **options)) == [
        hex(number) for number in range(20)
    ]
