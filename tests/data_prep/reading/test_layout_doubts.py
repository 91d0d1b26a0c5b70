"""What looks like a mask or a pair is never taken as images alone, and the message leads on."""

import re

import pytest

from data_prep.basics.errors import UserError
from data_prep.reading.layout import find
from data_prep.reading.role_ways import parse_given


def touch(root, *paths):
    """Write empty files; # stands for the numbers 0 to 3."""
    for path in paths:
        for i in range(4) if "#" in path else (0,):
            file = root / path.replace("#", str(i))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
    return root


# Paths, the nearest reading that the message names, and the task and scenes that its option gives.
DOUBTS = {
    "a pair without a label": (["A/#.png", "B/#.png"], "A and B are a pair without a label", 8),
    "a pair beside an unknown folder": (
        ["A/#.png", "B/#.png", "verity/#.png"],
        "--roles=mask=verity takes verity for it",
        4,
    ),
    "labels of single dates": (
        ["im1/#.png", "im2/#.png", "label1/#.png", "label2/#.png"],
        "label1 and label2 show single dates, not the change",
        4,
    ),
    "one date and a label": (["A/#.png", "second/#.png", "gt/#.png"], "--roles=post=second", 4),
    "masks beside an unknown folder": (["gt/#.png", "stuff/#.png"], "--roles=image=stuff", 4),
    "masks beside two": (["gt/#.png", "x/#.png", "y/#.png"], "--roles=pre=x,post=y", 4),
    "images beside an unknown folder": (["images/#.png", "truth/#.png"], "--roles=mask=truth", 4),
    "a slip of the pen": (["lables/#.png", "pics/p#.png"], "the folder lables is nearly label", 0),
    "twins": (["left/#.png", "truth/#.png"], "--roles=image=left,mask=truth, or in another", 4),
    "three twins": (
        ["t_one/#.png", "t_two/#.png", "truth/#.png"],
        "--roles=pre=t_one,post=t_two,mask=truth, or in another order",
        4,
    ),
    "twins with spaces": (
        ["My Images/#.png", "My Masks/#.png"],
        "--roles='image=My Images,mask=My Masks', or in another",
        4,
    ),
    "an unknown end": (["x#.png", "x#_bldg.png"], "--roles='mask=*_bldg' takes them for masks", 4),
    "an unknown start": (["x#.png", "bldg_x#.png"], "--roles='mask=bldg_*' takes them", 4),
    "masks by name alone": (["x#_mask.png"], "4 files are named as masks (*_mask, such as", 4),
    "masks by name beside an unknown folder": (
        ["2_Ortho_RGB/x#_RGB.png", "5_Labels_all/x#_label.png"],
        "--roles=image=2_Ortho_RGB,mask=5_Labels_all names the images",
        4,
    ),
    "pairs by name alone": (["x#_t1.png", "x#_t2.png"], "*_t1 and *_t2 are pairs without", 8),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_doubts_name_what_was_found_known_and_nearest_and_lead_on(tmp_path, name):
    paths, nearest, number = DOUBTS[name]
    touch(tmp_path, *paths)
    with pytest.raises(UserError) as caught:
        find(tmp_path, "auto")
    head, found, known, last = str(caught.value).split("\n")
    assert head == f"--source={tmp_path}: cannot tell images from masks"
    assert found.startswith("found: 4 files in ") or found.startswith("found: 8 files in ")
    for word in ("JPEGImages", "SegmentationClass", "t1", "im2", "cm"):
        assert word in known
    assert nearest in last
    options = re.findall(r"--roles=('[^']+'|[^ ';:]*[^ ';:.,])", last)
    options = [option.strip("'") for option in options if "NAME" not in option]
    if options and number:
        layout = find(tmp_path, "auto", parse_given(options[0]))
        assert len(layout.candidates) == number
    elif "--task=denoise" in last:
        assert len(find(tmp_path, "denoise").candidates) == number or not number


@pytest.mark.parametrize(
    "paths",
    [
        ["forest/f#.jpg", "river/r#.jpg", "Port/p#.jpg"],
        ["tiles/#.tif"],
        ["tiles/#_1.tif", "tiles/#_2.tif", "tiles/#.tif"],
        ["images/a#.png"],
        ["satellite/2018/a#.png", "satellite/2019/b#.png"],
        [f"day{d}/#.png" for d in range(6)],  # many folders of one kind
    ],
)
def test_images_alone_are_unlabelled(tmp_path, paths):
    touch(tmp_path, *paths)
    found = find(tmp_path, "auto")
    assert found.task == "denoise"
    assert len(found.candidates) == 4 * len(paths)


def test_masks_by_name_are_no_images_for_pretraining(tmp_path):
    touch(tmp_path, "x#_sat.jpg", "x#_mask.png")
    found = find(tmp_path, "denoise")
    assert {c.files["image"].name for c in found.candidates} == {f"x{i}_sat.jpg" for i in range(4)}
    assert found.num_unused == 4


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ("mask", "'mask' is not ROLE=NAME"),
        ("masks=gt", "'masks=gt' is not ROLE=NAME: a role is image, pre, post or mask"),
        ("mask=", "is not ROLE=NAME"),
        ("mask=*", "is not ROLE=NAME"),
        ("mask=*a*", "at most one"),
        ("mask=a/b", "must be one name"),
        ("mask=a,mask=b", "mask is named twice"),
        ("image=a,mask=a", "one name has two roles"),
    ],
)
def test_options_that_are_no_roles(roles, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse_given(roles)


@pytest.mark.parametrize(
    ("roles", "task", "message"),
    [
        ("mask=foo", "auto", r"^--roles=mask=foo: no folder and no file name is the mask; found 4"),
        ("mask=*_foo", "auto", "no folder and no file name is the mask"),
        ("pre=images", "ss", "--task=ss needs other roles"),
        ("image=images", "denoise", "needs other roles"),
    ],
)
def test_roles_that_do_not_fit(tmp_path, roles, task, message):
    touch(tmp_path, "images/#.png", "masks/#.png")
    with pytest.raises(UserError, match=message):
        find(tmp_path, task, parse_given(roles))


def test_of_two_folders_for_one_role_the_option_chooses(tmp_path):
    touch(tmp_path, "images/#.png", "masks/#.png", "gt/#.png")
    with pytest.raises(UserError, match=r"gt and masks both hold .* choose one: --roles=mask=gt"):
        find(tmp_path, "auto")
    found = find(tmp_path, "auto", parse_given("mask=gt"))
    assert {c.files["mask"].parent.name for c in found.candidates} == {"gt"}
    assert {r.path for r in found.rejected} == {f"masks/{i}.png" for i in range(4)}


def test_names_that_can_be_read_in_two_ways_are_refused(tmp_path):
    # By ends the scene is A_A, A_B, A_label; by starts it is A_A, B_A, label_A.
    touch(tmp_path, "A_A.png", "A_B.png", "A_label.png", "B_A.png", "label_A.png")
    with pytest.raises(UserError, match=r"can be read in two ways: .*\*_label.*; or .*label_\*"):
        find(tmp_path, "auto")


def test_files_of_names_that_differ_in_case_alone_are_two_scenes(tmp_path):
    touch(tmp_path, "images/a.png", "images/A.png", "masks/a.png", "masks/A.png")
    touch(tmp_path, "images/Town-1.png", "masks/town_1.png")
    found = find(tmp_path, "auto")
    assert {c.name: c.files["mask"].name for c in found.candidates} == {
        "a": "a.png",
        "A": "A.png",
        "Town-1": "town_1.png",
    }
    assert found.notes == (
        "the files of 1 scene(s) have names that differ in case, in '-', '_', '.' and ' ', or in"
        " zeros before numbers",
    )


@pytest.mark.parametrize(
    ("path", "text", "nearest"),
    [
        ("labels/#.geojson", "{}", "4 .geojson files (such as labels/0.geojson) hold polygons"),
        ("roofs.shp", "", "1 .shp files (such as roofs.shp) hold polygons: draw them"),
        ("masks/#.npy", "", "the folder masks is meant for masks and holds .npy"),
        ("annotations/all.json", "{}", "the folder annotations is meant for masks and holds .json"),
        ("images/#.json", '{"shapes": []}', "4 .json files (such as images/0.json) hold outlines"),
        (
            "images/#.txt",
            "0 0.1 0.2 0.3 0.4\n",
            "4 .txt files (such as images/0.txt) hold outlines",
        ),
        ("masks/.keep", "", "the folder masks is meant for masks and is empty"),
    ],
)
def test_labels_that_are_no_masks_are_not_left_out_silently(tmp_path, path, text, nearest):
    touch(tmp_path, "images/#.png", path)
    for file in tmp_path.rglob(path.rsplit("/")[-1].replace("#", "*")):
        file.write_text(text)
    with pytest.raises(UserError) as caught:
        find(tmp_path, "auto")
    assert f"nearest: {nearest}" in str(caught.value)
    assert find(tmp_path, "denoise").task == "denoise"


def test_files_that_describe_images_are_no_labels(tmp_path):
    touch(tmp_path, "images/#.png", "images/#.json", "readme.txt", "images/0.png.aux.xml")
    (tmp_path / "images/0.json").write_text('{"type": "item", "datetime": "2018"}')
    assert find(tmp_path, "auto").task == "denoise"


def test_advice_keeps_the_roles_that_are_given(tmp_path):
    touch(tmp_path, "bilder/#.png", "masken/#.png")
    with pytest.raises(UserError, match="--roles=mask=masken;"):
        find(tmp_path, "auto")
    with pytest.raises(UserError, match="--roles=mask=masken,image=bilder takes bilder for them"):
        find(tmp_path, "auto", parse_given("mask=masken"))
    given = parse_given("mask=masken,image=bilder")
    assert len(find(tmp_path, "auto", given).candidates) == 4


def test_images_of_kinds_that_are_not_read_are_named(tmp_path):
    touch(tmp_path, "images/#.webp", "masks/#.png")
    with pytest.raises(UserError, match=r"not read: 4 files in images/ \(0\.webp\)"):
        find(tmp_path, "auto")
