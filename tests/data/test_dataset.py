import json

import prepared_datasets
import pytest

from noise2map_jax.data.dataset import check_dataset, record_id, record_scene
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.errors import UserError

MANIFEST = {
    "name": "towns",
    "version": "1.0.0",
    "task": "ss",
    "tile_size": 64,
    "num_bands": 3,
    "dtype": "uint8",
    "classes": ["background", "building"],
    "split_rule": "by scene",
    "splits": {
        "train": {"num_records": 9, "num_scenes": 3, "class_pixels": [70, 30]},
        "val": {"num_records": 0, "num_scenes": 0, "class_pixels": [0, 0]},
    },
}
EXPECTED = {
    "task": "ss",
    "tile_size": 64,
    "num_bands": 3,
    "dtype": "uint8",
    "classes": ("background", "building"),
}


def write(folder, version="1.0.0", text=None):
    path = folder / "towns" / version
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(text or json.dumps(MANIFEST | {"version": version}))
    return str(folder)


def test_the_newest_version_is_opened(tmp_path):
    for version in ("1.2.0", "1.10.0"):
        write(tmp_path, version)
    dataset = open_dataset("towns", str(tmp_path))
    assert dataset.directory.name == "1.10.0"
    assert dataset.num_records("train") == 9
    assert dataset.class_pixels("train") == [70, 30]
    protocol = dataset.protocol("train")
    assert all(word in protocol for word in ("towns 1.10.0", "train", "9 tiles", "64", "by scene"))
    assert protocol.endswith("; means over " + ", ".join(MANIFEST["classes"]))


def test_an_empty_split_is_no_split(tmp_path):
    dataset = open_dataset("towns", write(tmp_path))
    with pytest.raises(UserError, match=r"'towns' has no 'val' split; it has train"):
        dataset.num_records("val")


def test_a_dataset_that_is_not_there_or_not_whole_is_named(tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match=r"no dataset 'tovns' .*holds towns.*data_prep"):
        open_dataset("tovns", str(tmp_path))
    (tmp_path / "half" / "1.0.0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"'half'.*cut off"):
        open_dataset("half", str(tmp_path))
    with pytest.raises(UserError, match="is not JSON"):
        open_dataset("towns", write(tmp_path / "other", text="{"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "cd"),
        ("tile_size", 256),
        ("num_bands", 4),
        ("dtype", "uint16"),
        ("classes", ("background", "road")),
    ],
)
def test_what_the_config_expects_must_be_there(tmp_path, field, value):
    dataset = open_dataset("towns", write(tmp_path))
    check_dataset(dataset, **EXPECTED)
    with pytest.raises(UserError, match=rf"'towns' has {field} .* but the config says"):
        check_dataset(dataset, **(EXPECTED | {field: value}))


def test_places_are_counted_where_they_are_known(tmp_path):
    dataset = open_dataset("towns", write(tmp_path))
    assert not dataset.places_known
    assert "from 3 scenes, whose places are not known; by scene" in dataset.describe("train")
    train = {"num_records": 5, "num_scenes": 3, "num_places": 2, "scenes": ["a", "b", "c"]}
    train |= {"places": ["p", "q", "p"], "scene_records": [2, 1, 2]}
    manifest = MANIFEST | {"format": 2, "places_known": True, "splits": {"train": train}}
    dataset = open_dataset("towns", write(tmp_path / "new", text=json.dumps(manifest)))
    assert dataset.places_known
    assert dataset.record_places("train") == ["p", "p", "q", "p", "p"]
    assert "from 3 scenes of 2 places; by scene" in dataset.protocol("train")
    with pytest.raises(UserError, match="no 'test' split"):
        dataset.record_places("test")


@pytest.mark.parametrize("task", ["cd", "denoise"])
def test_places_are_those_of_the_records(tmp_path, monkeypatch, task):
    """Also of a dataset whose manifest is of format 1: then each scene is one."""
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, task=task)
    dataset = open_dataset("toy", str(tmp_path))
    records = list(dataset.source("train"))
    assert len(records) == 20
    assert dataset.record_places("train") == [record["place"].decode() for record in records]
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("format", "places_known", "place_rule"):
        del manifest[key]
    for entry in manifest["splits"].values():
        for key in ("places", "num_places", "scene_records"):
            del entry[key]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    old = open_dataset("toy", str(tmp_path))
    assert (old.format, old.places_known) == (1, False)
    scenes = [record_scene(record_id(record)) for record in records]
    assert old.record_places("train") == scenes
    assert len(set(scenes)) == 5


def test_images_without_masks_cannot_be_denoised(tmp_path):
    expected = EXPECTED | {"task": "denoise", "classes": ()}
    for number, (task, format_) in enumerate([("ss", 1), ("denoise", 2)]):
        text = json.dumps(MANIFEST | {"task": task, "format": format_})
        dataset = open_dataset("towns", write(tmp_path / str(number), text=text))
        check_dataset(dataset, **expected)
    old = json.dumps(MANIFEST | {"task": "denoise"})
    dataset = open_dataset("towns", write(tmp_path / "old", text=old))
    with pytest.raises(UserError, match=r"format 1.* no mask that tells padding.*build it again"):
        check_dataset(dataset, **expected)
