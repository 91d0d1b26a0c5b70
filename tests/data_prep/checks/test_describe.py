"""`data_prep describe`: exact numbers, against NumPy on the arrays that went in."""

import json
import tracemalloc
from fractions import Fraction

import numpy as np
import prepared_datasets
import pytest

from data_prep.__main__ import main
from data_prep.checks import describe
from data_prep.shards import prepared, writer


def pixels(dataset, split, names):
    """All pixels that are not ignored, [N, C]."""
    parts = []
    for scene in dataset.scenes:
        if scene.split == split:
            arrays = dataset.load(scene)
            valid = arrays["mask"][..., 0] != 255
            parts += [arrays[name][valid] for name in names]
    return np.concatenate(parts)


@pytest.mark.parametrize(("task", "num_bands", "dtype"), [("ss", 3, "uint8"), ("cd", 2, "uint16")])
def test_numbers_are_those_of_the_arrays(tmp_path, monkeypatch, task, num_bands, dtype):
    options = {"task": task, "num_bands": num_bands, "dtype": dtype}
    dataset, folder = prepared_datasets.write(tmp_path, monkeypatch, **options)
    assert main(["describe", str(folder.parent), "--num_workers=1", "--output"]) == 0
    told = json.loads((folder / "describe.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    names = dataset.format.images
    for split, number in (("train", 5), ("test", 2)):
        entry = told["splits"][split]
        every = pixels(dataset, split, names)
        exact = [Fraction(int(band.sum(dtype=np.int64)), len(band)) for band in every.T]
        assert entry["images"]["mean"] == [float(value) for value in exact]
        np.testing.assert_allclose(
            entry["images"]["std"], every.astype(np.float64).std(0), rtol=1e-12
        )
        assert entry["images"]["num_pixels"] == len(every)
        for key, percent in (("low", 1), ("high", 99)):
            exact = np.percentile(every, percent, axis=0, method="inverted_cdf").tolist()
            assert entry["images"][key] == exact
        bands = manifest["splits"][split]["bands"]
        for key in ("mean", "std", "low", "high"):
            assert entry["images"][key] == [band[key] for band in bands]
        for name in names[1:]:
            alone = pixels(dataset, split, [name]).astype(np.float64)
            np.testing.assert_allclose(entry[name]["mean"], alone.mean(0), rtol=1e-12)
        assert (entry["num_scenes"], entry["num_records"]) == (number, 4 * number)
        scene_pixels = sum(30 * (20 + i) for i in range(number))
        foreground, ignored = 35 * number, 5 * number
        background = scene_pixels - foreground - ignored
        assert list(entry["class_pixels"].values()) == [background, foreground]
        assert entry["ignore_fraction"] == 1 - (background + foreground) / (1024 * number)
        files = folder.glob(f"toy-{split}*")
        assert entry["bytes"] == sum(path.stat().st_size for path in files)
        if task == "cd":
            assert entry["num_with_change"] == number
    assert told["use"]["split"] == "train"
    for key in ("mean", "std", "low", "high"):
        assert told["use"][key] == told["splits"]["train"]["images"][key]


def test_without_classes_padding_and_no_data_are_left_out(tmp_path, monkeypatch, capsys):
    dataset, folder = prepared_datasets.write(tmp_path, monkeypatch, task="denoise")
    assert main(["describe", str(folder), "--num_workers=1"]) == 0
    output = capsys.readouterr().out
    assert "pixels whose mask is 255 (padding, no data) are left out\n" in output
    assert not (folder / "describe.json").exists()
    told = describe.describe(prepared.open_prepared(folder), num_workers=1)
    train = [dataset.load(scene) for scene in dataset.scenes if scene.split == "train"]
    every = np.concatenate([scene["image"][scene["mask"][..., 0] == 0] for scene in train])
    entry = told["splits"]["train"]["images"]
    assert entry["num_pixels"] == len(every)
    np.testing.assert_allclose(entry["mean"], every.mean(0), rtol=1e-12)


def test_the_table_says_what_to_use(tmp_path, monkeypatch, capsys):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, task="cd")
    assert (
        main(["describe", str(folder), "--num_workers=2", f"--output={tmp_path / 'a.json'}"]) == 0
    )
    output = capsys.readouterr().out
    use = json.loads((tmp_path / "a.json").read_text())["use"]
    mean = ", ".join(f"{value:.4f}" for value in use["mean"])
    assert f"for scaling (train only): mean {mean}; standard deviation" in output
    low, high = (", ".join(map(str, use[key])) for key in ("low", "high"))
    assert f"; low {low}; high {high}\n" in output
    assert [line.split() for line in output.splitlines()][2][:4] == ["train", "5", "5", "20"]
    alone = describe.describe(prepared.open_prepared(folder), num_workers=1)
    assert alone == json.loads((tmp_path / "a.json").read_text())


def test_memory_does_not_grow_with_the_records(tmp_path, monkeypatch):
    peaks = []
    for number in (2, 12):
        dataset = prepared_datasets.plan(num_bands=8, dtype="uint16", counts=(number, 1))
        writer.write(dataset, tmp_path / str(number), num_workers=1)
        opened = prepared.open_prepared(tmp_path / str(number) / "toy")
        (shard,) = (shard for shard in opened.every_shard() if shard.split == "train")
        assert opened.num_records(shard) == 4 * number
        describe.sum_shard(opened, shard)  # What is made once stays out of the comparison.
        tracemalloc.start()
        describe.sum_shard(opened, shard)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_damaged_record_is_one_line(tmp_path, monkeypatch, capsys):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch)
    path = folder / "toy-test.array_record-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[prepared_datasets.first_record(data)] ^= 4
    path.write_bytes(data)
    assert main(["describe", str(folder), "--num_workers=1"]) == 2
    error = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert error.startswith(f"data_prep: error: {path}: record 0 cannot be read (")
