"""Layouts that people use, drawn with a value of its own in each file: the right pixels match."""

import unicodedata

import numpy as np
import pytest
from folder_builds import error, layout_plan, load, picture, run, save, square
from PIL import Image

from data_prep.basics.errors import UserError

TOWNS = ("Zürich", "Göteborg", "Århus", "Brno", "Lodz", "Porto")
FIRST = {"image": 10, "pre": 60, "post": 110}


def draw(root, templates, number=6):
    """Write files `number` times; {i} is the number, {town} a town; return the folder."""
    for role, template in templates.items():
        for i in range(number):
            path = root / template.format(i=i, town=TOWNS[i % len(TOWNS)])
            array = np.full((16, 16, 3), FIRST.get(role, 0) + i, np.uint8)
            if role == "mask":
                array = np.zeros((16, 16), np.uint8)
                array[: i + 1] = 255
            save(path, array)
    return root


def check(dataset, roles, number=6):
    """Every scene holds the files of one number, and every number is there."""
    seen = []
    for scene in dataset.scenes:
        arrays = dataset.load(scene)
        assert set(arrays) == set(roles)
        (one,) = {int(arrays[role][0, 0, 0]) - FIRST[role] for role in roles if role != "mask"}
        assert (arrays["mask"][..., 0].sum(1) > 0).sum() == one + 1
        seen.append(one)
    assert sorted(seen) == list(range(number))


PAIRS = {
    "A/B/label": ("A/{i}.png", "B/{i}.png", "label/{i}.png"),
    "t1/t2/gt": ("t1/{i}.png", "t2/{i}.png", "gt/{i}.png"),
    "t0/t1/label": ("t0/{i}.png", "t1/{i}.png", "label/{i}.png"),
    "im1/im2/label": ("im1/{i}.png", "im2/{i}.png", "label/{i}.png"),
    "image1/image2/mask": ("Image1/{i}.png", "Image2/{i}.png", "Mask/{i}.png"),
    "img_A/img_B/labels": ("img_A/{i}.png", "img_B/{i}.png", "labels/{i}.png"),
    "time1/time2/label": ("time1/{i}.png", "time2/{i}.png", "label/{i}.png"),
    "T1/T2/OUT": ("T1/{i}.png", "T2/{i}.png", "OUT/{i}.png"),
    "date 1/date 2/cm": ("date 1/{i}.png", "date 2/{i}.png", "cm/{i}.png"),
    "pre-event/post-event/change": (
        "Pre-Event/{i}.png",
        "Post-Event/{i}.png",
        "change/{i}.png",
    ),
    "before/after/change_label": ("before/{i}.png", "after/{i}.png", "change_label/{i}.png"),
    "years": ("2012/{i}.png", "2016/{i}.png", "label_bn/{i}.png"),
    "dates of days": ("2019-05-01/{i}.png", "2021-06-30/{i}.png", "mask/{i}.png"),
    "years above images": ("2012/image/{i}.png", "2016/image/{i}.png", "change/label/{i}.png"),
    "ends of names": ("x{i}_A.png", "x{i}_B.png", "x{i}_label.png"),
    "names as t1": ("all/x{i}-t1.png", "all/x{i}-t2.png", "all/x{i}-gt.png"),
    "years in names": ("x{i}_2012.png", "x{i}_2016.png", "x{i}_change.png"),
    "starts of names": ("A_{i}.png", "B_{i}.png", "label_{i}.png"),
    "folder and end": ("A/x{i}_A.png", "B/x{i}_B.png", "label/x{i}_label.png"),
    "a folder for each pair": ("p{i}/pre.png", "p{i}/post.png", "p{i}/mask.png"),
    "im1 in a folder for each pair": ("p{i}/im1.png", "p{i}/im2.png", "p{i}/cm.png"),
    "disasters": (
        "images/x{i}_pre_disaster.png",
        "images/x{i}_post_disaster.png",
        "masks/x{i}.png",
    ),
    "a wrapper too many": ("ds/v1/A/{i}.png", "ds/v1/B/{i}.png", "ds/v1/label/{i}.png"),
}
SINGLES = {
    "images/masks": ("images/{i}.png", "masks/{i}.png"),
    "img_dir/ann_dir": ("img_dir/{i}.png", "ann_dir/{i}.png"),
    "VOC": ("JPEGImages/{i}.jpg", "SegmentationClass/{i}.png"),
    "sat/map": ("sat/{i}.png", "map/{i}.png"),
    "rgb/building mask": ("RGB/{i}.tif", "Building Mask/{i}.tif"),
    "ortho/ground truth": ("ortho/{i}.tif", "GroundTruth/{i}.png"),
    "annotations": ("images/{i}.png", "annotations/{i}.png"),
    "DeepGlobe": ("{i}_sat.jpg", "{i}_mask.png"),
    "end of the mask alone": ("area{i}.png", "area{i}_mask.png"),
    "start of the mask alone": ("area{i}.png", "mask_area{i}.png"),
    "img_1 and mask_1": ("img_{i}.png", "mask_{i}.png"),
    "img1 and label1": ("images/img{i}.png", "labels/label{i}.png"),
    "folder and end": ("images/area{i}.png", "masks/area{i}_mask.png"),
    "folder and a longer end": ("images/area{i}.png", "masks/area{i}-building-mask.png"),
    "an end that is part of a name": ("big{i}_building.png", "big{i}_building_mask.png"),
    "xBD's target": ("images/x{i}_post_disaster.png", "targets/x{i}_post_disaster_target.png"),
    "other case and separators": ("images/Area-{i}.PNG", "masks/area_{i}.png"),
    "Unicode forms": ("images/{town}.png", "masks/{town}.png"),
    "towns above": ("{town}/images/{i}.png", "{town}/masks/{i}.png"),
    "a folder for each scene": ("s{i}/image.png", "s{i}/mask.png"),
    "a wrapper too many": ("my data/images/{i}.png", "my data/masks/{i}.png"),
    "masks of the dates of pairs": ("A/images/{i}.png", "A/masks/{i}.png"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(tmp_path, name):
    templates = dict(zip(("pre", "post", "mask"), PAIRS[name], strict=True))
    dataset = layout_plan(draw(tmp_path / "source", templates))
    assert dataset.format.task == "cd"
    assert not dataset.rejected
    check(dataset, templates)


@pytest.mark.parametrize("name", SINGLES)
def test_images_and_masks(tmp_path, name):
    templates = dict(zip(("image", "mask"), SINGLES[name], strict=True))
    if name == "Unicode forms":
        forms = zip(templates.items(), ("NFC", "NFD"), strict=True)
        for (role, template), form in forms:
            for i, town in enumerate(TOWNS):
                one = template.format(town=unicodedata.normalize(form, town))
                draw(tmp_path / "one", {role: "{i}.png"})
                path = tmp_path / "source" / one
                path.parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "one" / f"{i}.png").rename(path)
    else:
        draw(tmp_path / "source", templates)
    dataset = layout_plan(tmp_path / "source")
    assert dataset.format.task == "ss"
    assert not dataset.rejected
    check(dataset, templates)
    names = {scene.name for scene in dataset.scenes}
    assert names == {unicodedata.normalize("NFC", scene_name) for scene_name in names}


SPLIT = {
    "above": ("{s}/images/{i}.png", "{s}/masks/{i}.png"),
    "below": ("images/{s}/{i}.png", "masks/{s}/{i}.png"),
    "in one name": ("{s}_images/{i}.png", "{s}_masks/{i}.png"),
    "in one name, turned": ("images_{s}/{i}.png", "masks_{s}/{i}.png"),
    "below a wrapper": ("ds/{s}/images/{i}.png", "ds/{s}/masks/{i}.png"),
    "below towns": ("{i}/{s}/images/x.png", "{i}/{s}/masks/x.png"),
    "above names": ("{s}/{i}_sat.png", "{s}/{i}_mask.png"),
}


@pytest.mark.parametrize("name", SPLIT)
@pytest.mark.parametrize(
    "words",
    [("train", "val", "test"), ("Training", "validation", "TESTING"), ("trn", "dev", "tst")],
)
def test_split_folders(tmp_path, name, words):
    for word, first in zip(words, (0, 2, 4), strict=True):
        for role, template in zip(("image", "mask"), SPLIT[name], strict=True):
            for i in (first, first + 1):
                draw(tmp_path / "one", {role: "{i}.png"})
                path = tmp_path / "source" / template.format(s=word, i=i)
                path.parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "one" / f"{i}.png").rename(path)
    dataset = layout_plan(tmp_path / "source")
    check(dataset, ("image", "mask"))
    values = {split: set() for split in ("train", "val", "test")}
    for scene in dataset.scenes:
        values[scene.split].add(int(dataset.load(scene)["image"][0, 0, 0]) - 10)
    assert values == {"train": {0, 1}, "val": {2, 3}, "test": {4, 5}}


def test_labels_stored_as_colours_and_text_of_the_rule(tmp_path, capsys):
    for i in range(10):
        for role in ("t1", "t2"):
            save(tmp_path / f"s/{role}/{i}.png", picture(i + 10 * (role == "t2"), 32, 32))
        save(tmp_path / f"s/gt/{i}.png", np.repeat(square(32, 32)[..., None], 3, -1))
    assert run(tmp_path / "s") == 0
    manifest, _ = load(tmp_path / "s", "s")
    assert (manifest["task"], manifest["used"]) == ("cd", 30)
    assert "layout: {gt,t1,t2}" in capsys.readouterr().out


def test_masks_with_another_name_and_all_in_train(tmp_path, capsys):
    for i in range(3):
        save(tmp_path / f"s/images/area{i}.png", picture(i))
        save(tmp_path / f"s/masks/area{i}_mask.png", square())
    assert run(tmp_path / "s", "--splits=1,0,0") == 0
    note = "roles by folder, names without affixes: images is image, masks/*_mask is mask"
    assert f"note: {note}" in capsys.readouterr().out
    manifest, data = load(tmp_path / "s", "s")
    assert manifest["notes"][0] == note
    assert set(data) == {"train"}


def test_names_that_are_not_known_are_named_by_roles(tmp_path, capsys):
    for i in range(4):
        save(tmp_path / f"s/images/area{i}.png", picture(i))
        save(tmp_path / f"s/masks/area{i}_bldg.png", square())
    assert run(tmp_path / "s") == 2
    head, first, second = error(capsys)
    assert head == "no scene is left for any split: 8 of 8 files cannot be used"
    assert first == (
        "4 files (images/area0.png, images/area1.png, images/area2.png, ...), each as"
        " images/area0.png: has no mask file of the same stem; the nearest name is"
        " masks/area0_bldg.png: --roles='mask=*_bldg' matches such names"
    )
    assert second.startswith("4 files (masks/area0_bldg.png, ")
    assert run(tmp_path / "s", "--roles=mask=*_bldg") == 0
    manifest, _ = load(tmp_path / "s", "s")
    assert (manifest["used"], manifest["options"]["roles"]) == (8, "mask=*_bldg")


@pytest.mark.parametrize(
    ("lists", "listed"),
    [
        ({"train.txt": "0\n1\n2", "val.txt": "3", "test.txt": "4"}, "stems"),
        ({"list/train.txt": "0.png\n1.png\n2.png\n", "list/val.txt": "3.png\n",
          "list/test.txt": "\n4.png"}, "file names"),
        ({"splits/train_list.txt": "images/0.png masks/0.png\nimages/1.png masks/1.png\n"
          "images/2.png,masks/2.png", "splits/val_list.txt": "images/3.png\tmasks/3.png",
          "splits/test_list.txt": "/home/me/s/images/4.png"}, "columns and paths"),
        ({"ImageSets/Segmentation/train.txt": "0\n1\n2", "ImageSets/Segmentation/val.txt": "3",
          "ImageSets/Segmentation/trainval.txt": "0\n1\n2\n3",
          "ImageSets/Segmentation/test.txt": "4"}, "VOC"),
        ({"train.csv": 'image,mask\n"images/0.png","masks/0.png"\nimages/1.png,masks/1.png\n2,2',
          "val.csv": "name\n3.png", "test.csv": "4.png"}, "tables"),
        ({"train.txt": "C:\\s\\images\\0.png\r\n'1.png'\r\n\"2.png\"\r\n", "val.txt": "3",
          "test.txt": "4"}, "Windows"),
    ],
)  # fmt: skip
def test_lists_divide_the_scenes(tmp_path, lists, listed):
    source = draw(tmp_path / "s", {"image": "images/{i}.png", "mask": "masks/{i}.png"})
    for name, text in lists.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    dataset = layout_plan(source)
    names = {s: {x.name for x in dataset.scenes if x.split == s} for s in ("train", "val", "test")}
    assert names == {"train": {"0", "1", "2"}, "val": {"3"}, "test": {"4"}}
    assert {r.path for r in dataset.rejected} == {"images/5.png", "masks/5.png"}
    assert not any(r.is_cause for r in dataset.rejected)
    assert dataset.num_found == 12
    assert "2 files are in none of the lists and are left out" in dataset.about["notes"]
    assert dataset.about["split_rule"].startswith("the lists ")


def test_zeros_before_numbers_do_not_part_partners(tmp_path):
    source = draw(tmp_path / "s", {"image": "images/00{i}.png", "mask": "masks/{i}.png"})
    dataset = layout_plan(source)
    assert {(x.files["image"].stem, x.files["mask"].stem) for x in dataset.scenes} == {
        (f"00{i}", str(i)) for i in range(6)
    }


def test_lists_may_be_of_two_bytes_a_letter(tmp_path):
    source = draw(tmp_path / "s", {"image": "images/{i}.png", "mask": "masks/{i}.png"})
    for name, text in {"train": "0\r\n1\r\n2", "val": "3", "test": "4"}.items():
        (source / f"{name}.txt").write_text(text, encoding="utf-16")
    assert layout_plan(source).about["split_rule"].startswith("the lists ")


def test_lists_of_another_kind_are_told(tmp_path):
    source = draw(tmp_path / "s", {"image": "images/{i}.png", "mask": "masks/{i}.png"})
    (source / "train.json").write_text("[]")
    assert "train.json are not read as lists" in " ".join(layout_plan(source).about["notes"])


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("0\nx\ny\nz\nw\n", r"^train.txt: 4 of 5 names are no files here: x, y, z, \.\.\.; names"),
        ("images/0.png masks/1.png", "names several scenes"),
        ("0\n3", r"val.txt: '3' is also in train.txt"),
    ],
)
def test_lists_that_are_refused(tmp_path, train, message):
    source = draw(tmp_path / "s", {"image": "images/{i}.png", "mask": "masks/{i}.png"})
    (source / "train.txt").write_text(train)
    (source / "val.txt").write_text("3")
    with pytest.raises(UserError, match=message):
        layout_plan(source)


def test_images_alone_are_for_pretraining(tmp_path):
    for i in range(4):
        save(tmp_path / f"s/farm/x{i}.png", picture(i))
        Image.fromarray(picture(i + 9)).save(tmp_path / f"s/farm/y{i}.jpg")
    dataset = layout_plan(tmp_path / "s")
    assert dataset.format.task == "denoise"
    assert len(dataset.scenes) == 8
