"""`data_prep whu` on its miniature: mosaics and crops, pixel for pixel against the truth."""

import shutil

import numpy as np
import pytest
from PIL import Image
from whu_builds import IMAGES, SIZE, check_against, copier, error, load, places, run, save, written

from data_prep.miniatures import whu as miniature


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return written(tmp_path_factory.mktemp("whu"))


@pytest.fixture(scope="module")
def ground():
    return miniature.mosaics(seed=5, size=SIZE)


@pytest.fixture
def copied(original, tmp_path):
    return copier(original, tmp_path)


def test_the_whole_mosaics_are_cut_as_the_owner_does(original, ground, tmp_path, capsys):
    assert run(original / miniature.WHOLE, tmp_path) == 0
    manifest, records = load(tmp_path)
    height, width = ground.change.shape
    assert height % 32
    assert width % 32
    cut = ground.test_column
    border = manifest["splits"]["train"]["num_records"] // -(-height // 32) * 32
    assert 0 < border < cut
    ends = {("train", "mosaic"): border, ("val", "mosaic"): cut, ("test", "mosaic"): width}
    owner = check_against(ground, records, {"mosaic": 0}, ends)
    assert (owner[:, :border] == "train").all()
    assert (owner[:, border:cut] == "val").all()
    assert (owner[:, cut:] == "test").all()
    assert abs((cut - border) / cut - 1 / 9) < 32 / cut
    assert f"train west of column {cut}" in manifest["split_rule"]
    assert f"easternmost {cut - border} of the {cut} columns" in manifest["split_rule"]
    assert manifest["mask_encoding"] == "index"  # One bit a pixel.
    assert f"pre = {IMAGES}/before/before.tif" in manifest["layout"]
    assert f"mask = {IMAGES}/change label/change_label.tif" in manifest["layout"]
    assert manifest["found"] == manifest["used"] == len(manifest["files"]) == 3
    assert any(note.startswith("2 files are masks of the buildings") for note in manifest["notes"])
    pixels = sum((np.array(e["class_pixels"]) for e in manifest["splits"].values()), np.zeros(2))
    assert pixels.tolist() == [(ground.change == 0).sum(), ground.change.sum()]
    assert "3 used + 0 rejected = 3 found" in capsys.readouterr().out


def test_the_parts_keep_no_column_twice(original, ground, tmp_path):
    assert run(original / miniature.PARTS, tmp_path, "--splits=0.6,0.2,0.2") == 0
    manifest, records = load(tmp_path)
    cut, width = ground.test_column, ground.change.shape[1]
    border = manifest["splits"]["val"]["scenes"][0]
    border = int(border.rsplit("_c", 1)[1])
    ends = {("train", "train"): border, ("val", "train"): cut, ("test", "test"): width - cut}
    owner = check_against(ground, records, {"train": 0, "test": cut}, ends)
    assert (owner[:, cut:] == "test").all()
    assert set(owner[:, :cut].ravel()) == {"train", "val"}
    assert abs((cut - border) / cut - 1 / 4) < 32 / cut
    assert any("the last 1 column(s) of the train part" in note for note in manifest["notes"])
    assert any(note.startswith("8 files are crops") for note in manifest["notes"])
    assert "the owner's train and test parts" in manifest["split_rule"]
    assert "train: pre = " in manifest["layout"]
    assert manifest["found"] == 6


@pytest.mark.parametrize("source", [miniature.WHOLE, miniature.PARTS])
def test_a_seeded_split_of_the_mosaics_has_every_pixel_once(original, ground, tmp_path, source):
    options = ("--split=seeded", "--splits=0.5,0.25,0.25", "--name=seeded")
    assert run(original / source, tmp_path, *options) == 0
    manifest, records = load(tmp_path, "seeded")
    cut, (height, width) = ground.test_column, ground.change.shape
    if source == miniature.WHOLE:
        first, last = {"mosaic": 0}, {"mosaic": width}
    else:
        first, last = {"train": 0, "test": cut}, {"train": cut, "test": width - cut}
    ends = {(split, part): last[part] for split in records for part in last}
    owner = check_against(ground, records, first, ends)
    assert (owner != "").all()
    numbers = [len(records[split]) for split in ("train", "val", "test")]
    total = sum(-(-columns // 32) for columns in last.values()) * -(-height // 32)
    assert sum(numbers) == total
    assert numbers[1:] == [round(total / 4)] * 2
    for text in (manifest["split_rule"], manifest["notes"][-2]):
        assert "neighbouring tiles may lie in different splits" in text
    assert run(original / source, tmp_path, *options, "--seed=1", "--overwrite") == 0
    assert set(load(tmp_path, "seeded")[1]["test"]) != set(records["test"])


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        ("A/christchurch.tif", "B/christchurch.tif", "label/christchurch.tif"),
        ("A.tif", "B.tif", "OUT/label.tif"),
        ("T1_mosaic.tif", "T2_mosaic.tif", "change.tif"),
        ("2012/whole.tif", "2016/whole.tif", "2016/change_label.tif"),
        ("x/Before.TIF", "x/After.TIF", "x/Change Label.TIF"),
    ],
)
def test_other_names_are_recognised_by_their_words(tmp_path, ground, before, after, label):
    source = tmp_path / "some change detection dataset"
    save(source / before, ground.pre)
    save(source / after, ground.post)
    save(source / label, ground.change * 255)
    assert run(source, tmp_path / "out") == 0
    manifest, records = load(tmp_path / "out")
    assert manifest["mask_encoding"] == "binary255"
    assert f"pre = {before}, post = {after}, mask = {label}" in manifest["layout"]
    cut, width = ground.test_column, ground.change.shape[1]
    border = int(manifest["splits"]["val"]["scenes"][0].rsplit("_c", 1)[1])
    ends = {("train", "mosaic"): border, ("val", "mosaic"): cut, ("test", "mosaic"): width}
    assert (check_against(ground, records, {"mosaic": 0}, ends) != "").all()


def test_pixels_without_data_are_ignored(tmp_path, ground):
    height, width = ground.change.shape
    alpha = np.full((height, width, 1), 255, np.uint8)
    alpha[30:70, 90:101] = 0
    save(tmp_path / "source/before.tif", np.dstack([ground.pre, alpha]))
    save(tmp_path / "source/after.tif", ground.post)
    save(tmp_path / "source/change_label.tif", ground.change)
    assert run(tmp_path / "source", tmp_path / "out", "--split=seeded", "--tile_size=16") == 0
    _, records = load(tmp_path / "out")
    found = np.full((-(-height // 16) * 16, -(-width // 16) * 16), 9, np.uint8)
    for _, _, row, column, record in places(records):
        found[row : row + 16, column : column + 16] = record["mask"][..., 0]
    truth = np.where(alpha[..., 0] == 0, 255, ground.change)
    np.testing.assert_array_equal(found[:height, :width], truth)


def test_labels_of_the_parts_may_be_encoded_differently(copied, ground, tmp_path):
    source = copied(miniature.PARTS)
    path = source / IMAGES / "change_label/test/change_label.tif"
    save(path, np.array(Image.open(path)) * 255)
    assert run(source, tmp_path / "out") == 0
    manifest, records = load(tmp_path / "out")
    assert manifest["mask_encoding"] == "train: index, test: binary255"
    cut = ground.test_column
    changed = sum(int((record["mask"] == 1).sum()) for record in records["test"].values())
    assert changed == ground.change[:, cut:].sum() > 0


def test_crops_keep_their_folders_and_their_content(original, ground, tmp_path):
    assert run(original / miniature.AUTHORS_CROPS, tmp_path) == 0
    manifest, records = load(tmp_path)
    assert manifest["layout"] == "{train,test}/{A,B,OUT}"
    assert manifest["mask_encoding"] == "binary255"
    assert "train tiles became val" in manifest["split_rule"]
    assert any("tiles of both may be neighbours" in note for note in manifest["notes"])
    assert manifest["splits"].keys() == {"train", "val", "test"}
    found = {p.stem: p.parts[-3] for p in (original / miniature.AUTHORS_CROPS).rglob("A/*.png")}
    seen = {}
    for split, of_split in records.items():
        for key, record in of_split.items():
            name = key.split("/")[1]
            seen[name] = "test" if split == "test" else "train"
            row, column = (32 * int(text) for text in name.split("_"))
            place = slice(row, row + 32), slice(column, column + 32)
            np.testing.assert_array_equal(record["pre"], ground.pre[place])
            np.testing.assert_array_equal(record["post"], ground.post[place])
            np.testing.assert_array_equal(record["mask"][..., 0], ground.change[place])
            assert bool(record["has_change"]) == bool(ground.change[place].any())
    assert seen == found


def test_crops_without_split_folders(original, tmp_path, capsys):
    folder = original / miniature.AUTHORS_CROPS
    plain, named = tmp_path / "plain", tmp_path / "named"
    for path in folder.rglob("*.png"):
        split, role, name = path.relative_to(folder).parts
        for target in (plain / role / name, named / role / f"{split}-{name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    assert run(plain, tmp_path / "out") == 2
    (line,) = error(capsys)
    assert "does not say train, val or test; --split=seeded" in line
    assert run(named, tmp_path / "out") == 0
    manifest, _ = load(tmp_path / "out")
    assert manifest["split_rule"].startswith(
        "train, val or test in the names; the source has no val"
    )
    assert all(name.startswith("test-") for name in manifest["splits"]["test"]["scenes"])
    assert not any("test" in name for name in manifest["splits"]["train"]["scenes"])
    assert run(plain, tmp_path / "out", "--split=seeded", "--name=seeded") == 0
    manifest, records = load(tmp_path / "out", "seeded")
    assert sum(map(len, records.values())) == len(list((plain / "A").iterdir()))
    assert "neighbouring tiles may lie in different splits" in manifest["split_rule"]


@pytest.mark.parametrize(
    ("source", "task"),
    [(miniature.PARTS, "cd"), (miniature.TILES, "ss")],
)
def test_two_workers_write_the_same_bytes(original, tmp_path, source, task):
    options = ("--resize=32",) if task == "ss" else ()
    folders = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        assert run(original / source, out, *options, task=task, num_workers=workers) == 0
        folders.append({p.name: p.read_bytes() for p in (out / f"whu_{task}/1.0.0").iterdir()})
    assert folders[0] == folders[1]
