"""Drawn datasets: a scene depends on the seed, its split and its number, and on nothing else."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep.__main__ import main
from data_prep.basics.dataset import Scene
from data_prep.builders import synthetic
from data_prep.drawing import scenes

SUBURBS = ("suburb",)
ONE = (0.8,)  # Metres a pixel.


@pytest.fixture
def simple(monkeypatch):
    """Replace the drawing by something quick that shows the generator's state."""

    def segmentation(rng, size, town, detail):
        size *= detail
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        return image, (image[..., :1] > 127).astype(np.uint8)

    def change(rng, size, town, detail):
        pre, mask = segmentation(rng, size, town, detail)
        return pre, rng.integers(0, 256, pre.shape, np.uint8), mask

    monkeypatch.setattr(scenes, "segmentation_scene", segmentation)
    monkeypatch.setattr(scenes, "change_scene", change)


def build(tmp_path, task, num_scenes, *options):
    sizes = ["--scene_size=40", "--tile_size=32", "--num_workers=1", "--overwrite"]
    command = ["synthetic", f"--task={task}", f"--data_dir={tmp_path}", *sizes, *options]
    assert main([*command, f"--num_scenes={num_scenes}"]) == 0
    folder = tmp_path / f"synthetic_{task}" / "1.0.0"
    data = tfds.builder_from_directory(folder).as_data_source()
    records = {r["id"].decode(): r for split in data.values() for r in split}
    return json.loads((folder / "manifest.json").read_text()), records


@pytest.mark.usefixtures("simple")
@pytest.mark.parametrize("task", ["ss", "cd"])
def test_scenes_do_not_depend_on_how_many_there_are(tmp_path, task):
    manifest, few = build(tmp_path, task, "2,1,1")
    counts = {split: entry["num_records"] for split, entry in manifest["splits"].items()}
    assert counts == {"train": 8, "val": 4, "test": 4}
    _, many = build(tmp_path, task, "3,0,2")
    shared = set(few) & set(many)
    assert len(shared) == 8 + 4
    for key in shared:
        for name in set(few[key]) - {"id"}:
            np.testing.assert_array_equal(few[key][name], many[key][name])
    pictures = {record["image" if task == "ss" else "pre"].tobytes() for record in many.values()}
    assert len(pictures) == len(many)  # No two scenes are alike, in no two splits either.
    _, other = build(tmp_path, task, "2,1,1", "--seed=1")
    name = "image" if task == "ss" else "pre"
    assert all((other[key][name] != few[key][name]).any() for key in few)


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_the_real_drawing_keeps_the_contract(task):
    arrays = synthetic.draw(task, 0, ONE, SUBURBS, Scene("scene00000", "val", 0, 64, 64))
    names = ("image",) if task == "ss" else ("pre", "post")
    assert set(arrays) == {*names, "mask"}
    for name in names:
        assert arrays[name].shape == (64, 64, 3)
        assert arrays[name].dtype == np.uint8
    assert arrays["mask"].shape == (64, 64, 1)
    assert arrays["mask"].dtype == np.uint8
    assert set(np.unique(arrays["mask"])) <= {0, 1}


@pytest.mark.usefixtures("simple")
def test_the_seed_is_the_documented_one():
    arrays = synthetic.draw("ss", 7, ONE, SUBURBS, Scene("scene00003", "test", 3, 8, 8))
    rng = np.random.default_rng(np.random.SeedSequence([7, 2, 3]))
    np.testing.assert_array_equal(arrays["image"], rng.integers(0, 256, (8, 8, 3), np.uint8))


@pytest.mark.usefixtures("simple")
def test_a_larger_pixel_is_the_mean_of_what_is_drawn():
    fine = synthetic.draw("ss", 7, ONE, SUBURBS, Scene("scene00003", "test", 3, 8, 8))
    coarse = synthetic.draw("ss", 7, (1.6,), SUBURBS, Scene("scene00003", "test", 3, 4, 4))
    means = {
        name: np.mean([pixels[i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)
        for name, pixels in fine.items()
    }
    assert {0.25, 0.5, 0.75} < set(np.unique(means["mask"]))
    np.testing.assert_array_equal(coarse["mask"], means["mask"] >= 0.5)
    np.testing.assert_array_equal(coarse["image"], np.floor(means["image"] + 0.5))


@pytest.mark.usefixtures("simple")
def test_the_size_of_a_pixel_is_asked_for_in_metres(tmp_path):
    manifest, records = build(tmp_path, "cd", "1,1,1", "--pixel_size=2.4000000001")
    assert manifest["options"]["pixel_size"] == 2.4
    assert "pixel_size" not in build(tmp_path, "ss", "1,0,0", "--pixel_size=0.8")[0]["options"]
    drawn = synthetic.draw("cd", 0, (2.4,), SUBURBS, Scene("scene00000", "train", 0, 40, 40))
    first = records[min(key for key in records if key.startswith("train/"))]
    np.testing.assert_array_equal(first["pre"], drawn["pre"][:32, :32])


@pytest.mark.parametrize("metres", ["0", "-0.8", "1", "1.2", "nan", "inf", "16.8", "large"])
def test_a_pixel_that_is_no_multiple_of_the_drawings(tmp_path, capsys, metres):
    options = [f"--data_dir={tmp_path}", f"--pixel_size={metres}"]
    assert main(["synthetic", "--task=ss", *options]) == 2
    message = f"{metres!r}: must be 0.8, 0.4, 0.2 or a whole multiple of 0.8"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_scenes_show_the_towns_in_turn(tmp_path, task):
    manifest, _ = build(tmp_path, task, "1,0,0", "--towns=suburb")
    assert "towns" not in manifest["options"]
    assert build(tmp_path, task, "1,0,0")[0] == manifest
    manifest, records = build(tmp_path, task, "2,0,0", "--towns=city,suburb")
    assert manifest["options"]["towns"] == ["city", "suburb"]
    draw = {"ss": scenes.segmentation_scene, "cd": scenes.change_scene}[task]
    for number, town in enumerate(("city", "suburb")):
        expected = draw(np.random.default_rng(np.random.SeedSequence([0, 0, number])), 40, town)
        found = records[min(key for key in records if f"scene{number:05d}" in key)]
        np.testing.assert_array_equal(found["mask"], expected[-1][:32, :32])
        np.testing.assert_array_equal(
            found["image" if task == "ss" else "pre"], expected[0][:32, :32]
        )


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_sizes_of_pixels_take_turns_with_every_town(tmp_path, task):
    options = ["--towns=city,suburb", "--pixel_size=0.8,0.4"]
    manifest, records = build(tmp_path, task, "5,0,0", *options)
    assert manifest["options"]["pixel_size"] == [0.8, 0.4]
    draw = {"ss": scenes.segmentation_scene, "cd": scenes.change_scene}[task]
    turns = (("city", 1), ("suburb", 1), ("city", 2), ("suburb", 2), ("city", 1))
    for number, (town, detail) in enumerate(turns):
        rng = np.random.default_rng(np.random.SeedSequence([0, 0, number]))
        *_, mask = draw(rng, 40 // detail, town, detail)
        found = records[min(key for key in records if f"scene{number:05d}" in key)]
        np.testing.assert_array_equal(found["mask"], mask[:32, :32])


def test_a_scene_that_holds_no_whole_number_of_drawn_pixels(tmp_path, capsys):
    arguments = ["synthetic", "--task=ss", f"--data_dir={tmp_path}", "--scene_size=42"]
    assert main([*arguments, "--tile_size=32", "--pixel_size=0.8,0.2"]) == 2
    message = "--scene_size=42: must be a multiple of 4 pixels where one has 0.2 m"
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_town(tmp_path, capsys):
    arguments = ["synthetic", "--task=ss", f"--data_dir={tmp_path}", "--towns=suburb,village"]
    assert main(arguments) == 2
    message = "no town 'village'; expected one or more of: suburb, city"
    assert message in capsys.readouterr().err
