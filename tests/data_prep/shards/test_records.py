"""Records: what is no image is 255 in every mask, and labels are classes or 255."""

import json

import numpy as np
import prepared_datasets
import pytest
from folder_builds import error, load, picture, run, save
from rasterio.windows import Window

from data_prep.__main__ import main
from data_prep.basics.dataset import RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.checks import describe
from data_prep.shards import prepared
from data_prep.shards.records import scene_records
from noise2map_jax.mapping.scene import open_image, read_block


def test_images_without_labels_have_masks_of_padding_and_no_data(tmp_path):
    """Alpha 0, and what lies outside of the image; black ground counts."""
    opaque = np.full((40, 50, 1), 255, np.uint8)
    opaque[3:9, 4:6] = 0
    image = np.concatenate([picture(0, 40, 50), opaque], -1)
    image[20:30, 20:30, :3] = 0
    save(tmp_path / "land/a.png", image)
    save(tmp_path / "land/b.jpg", picture(1, 20, 20))
    assert run(tmp_path / "land", "--task=denoise", "--splits=1,0,0") == 0
    manifest, data = load(tmp_path / "land", "land")
    masks = {"a": np.full((64, 64), 255, np.uint8), "b": np.full((32, 32), 255, np.uint8)}
    masks["a"][:40, :50] = 255 - opaque[..., 0]
    masks["b"][:20, :20] = 0
    assert len(data["train"]) == 5
    for record in data["train"]:
        _, scene, where = record["id"].decode().split("/")
        row, column = (int(text[1:]) for text in where.split("_"))
        expected = masks[scene][row : row + 32, column : column + 32]
        np.testing.assert_array_equal(record["mask"][..., 0], expected)
        assert record["mask"].dtype == np.uint8
    entry = manifest["splits"]["train"]
    assert entry["ignore_pixels"] == sum((mask == 255).sum() for mask in masks.values())
    counted = image[opaque[..., 0] == 255, 0].tolist()
    told = describe.describe(prepared.open_prepared(tmp_path / "shards/land"), num_workers=1)
    assert told["splits"]["train"]["images"]["num_pixels"] == len(counted) + 400
    assert told["splits"]["train"]["images"]["mean"] == [b["mean"] for b in entry["bands"]]


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_beyond_an_image_records_hold_what_maps_see_there(task, tmp_path):
    """A network is trained and scored on what it is given in use; labels there are ignored."""
    names = {"ss": ("image",), "cd": ("pre", "post")}[task]
    images = {name: picture(number, 40, 50) for number, name in enumerate(names)}
    for name, image in images.items():
        save(tmp_path / f"{name}.png", image)
    layout = RecordFormat(task, 32, 3, "uint8", ("none", "some"))
    arrays = images | {"mask": np.ones((40, 50, 1), np.uint8)}
    found = scene_records(lambda _: arrays, layout, Scene("s", "train", 0, 40, 50))
    assert len(found.records) == 4
    assert found.ignore_pixels == 64 * 64 - 40 * 50
    for _, record in found.records:
        row, column = (int(text[1:]) for text in record["id"].split("/")[2].split("_"))
        for name in names:
            with open_image(str(tmp_path / f"{name}.png")) as opened:
                seen, _ = read_block(opened, Window(column, row, 32, 32))
            np.testing.assert_array_equal(record[name], seen)
        assert (record["mask"] == 255).sum() == 32**2 - min(32, 40 - row) * min(32, 50 - column)
    # Statistics of the bands count each pixel once.
    assert found.band_counts.sum() == len(names) * 3 * 40 * 50


def test_masks_without_classes_are_verified(tmp_path, monkeypatch, capsys):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, task="denoise")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["train"]["ignore_pixels"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert main(["verify", str(folder), "--num_workers=1"]) == 2
    assert "train: ignore_pixels is " in "".join(error(capsys))


@pytest.mark.parametrize(("task", "classes"), [("ss", ("background", "building")), ("denoise", ())])
def test_labels_that_are_no_class_are_refused_at_the_last(task, classes):
    """Whichever builder let them pass."""
    layout = RecordFormat(task, 4, 1, "uint8", classes)
    mask = np.array([[0, 0], [7, 255]], np.uint8)[..., None]
    arrays = {"image": np.zeros((2, 2, 1), np.uint8), "mask": mask}
    with pytest.raises(UserError, match=r"train/s: its mask holds 7; the dataset has . classes"):
        scene_records(lambda _: arrays, layout, Scene("s", "train", 0, 2, 2))


def test_classes_that_are_not_named_are_refused(tmp_path, capsys):
    """Much of it is ignored: 255 must not be taken for the foreground."""
    mask = np.zeros((40, 40), np.uint8)
    mask[:20], mask[20:22], mask[22:24] = 255, 1, 2
    for i in range(4):
        save(tmp_path / f"land/image/{i}.png", picture(i))
        save(tmp_path / f"land/mask/{i}.png", mask)
    assert run(tmp_path / "land") == 2
    lines = error(capsys)
    assert lines[0].startswith("4 of 8 files cannot be used")
    assert lines[1].startswith(
        "4 files (mask/0.png, mask/1.png, mask/2.png, ...): holds value(s) 2; a mask of 2"
        " classes holds 0 to 1 and 255 = ignore"
        " (--classes=NAME,NAME,... names more"
    )
    assert run(tmp_path / "land", "--classes=ground,roof,road") == 0
    manifest, _ = load(tmp_path / "land", "land")
    pixels = [entry["class_pixels"] for entry in manifest["splits"].values()]
    assert np.sum(pixels, axis=0).tolist() == [4 * n for n in (640, 80, 80)]
