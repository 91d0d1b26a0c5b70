"""Names are read as people mean them, whatever their case, Unicode form and separators."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.reading.layout import find
from data_prep.reading.role_names import Names, split_of, words

NUMBERED = {"1": "pre", "2": "post"}
CD, SS = (Names(task, NUMBERED, NUMBERED) for task in ("cd", "ss"))
# Pieces that are joined by one separator, so that it can be replaced.
PAIRS = [
    ("A", "B"), ("t1", "t2"), ("im1", "im2"), ("img 1", "img 2"), ("image1", "image2"),
    ("time 1", "time 2"), ("date1", "date2"), ("pre", "post"), ("before", "after"),
    ("pre event", "post event"), ("images before", "images after"), ("img a", "img b"),
]  # fmt: skip
CHANGES = ["label", "labels", "gt", "OUT", "cm", "change", "change label", "mask", "label bn"]
IMAGES = ["image", "images", "img", "imgs", "img dir", "JPEGImages", "sat", "rgb", "ortho"]
MASKS = ["mask", "masks", "label", "gt", "ann dir", "SegmentationClass", "map", "building mask"]
SPLITS = [("train", "val", "test"), ("training", "validation", "testing"), ("trn", "dev", "tst")]


@pytest.mark.parametrize(
    ("name", "cd", "ss"),
    [
        ("Pre-Event", "pre", None),
        ("images_before", "pre", None),
        ("imgB", "post", None),
        ("mask1", "date_mask", None),
        ("label_a", "date_mask", None),
        ("change", "mask", None),
        ("cm", "mask", None),
        ("GroundTruth", "mask", "mask"),
        ("ground truth", "mask", "mask"),
        ("buildingmask", "mask", "mask"),
        ("images_512", "image", "image"),
        ("train_images", "image", "image"),
        ("truth", None, None),
        ("bldg", None, None),
        ("building", None, None),
        ("Airport", None, None),
        ("1", None, None),
        ("2", None, None),
        ("S2", None, None),
        ("pre_post", None, None),
        ("images_7", None, None),
    ],
)
def test_roles_of_folders(name, cd, ss):
    assert (CD.of_folder(name), SS.of_folder(name)) == (cd, ss)


@pytest.mark.parametrize(
    ("end", "cd", "ss"),
    [
        ("mask", "mask", "mask"),
        ("post_disaster", "post", None),
        ("post_disaster_target", "date_mask", None),
        ("t1", "pre", None),
        ("img_1", None, None),  # the first of many images, not the first date
        ("mask_256", None, None),
        ("train_mask", None, None),
        ("2012", None, None),  # no second year here
    ],
)
def test_roles_of_ends_of_file_names(end, cd, ss):
    assert (CD.of_affix(end), SS.of_affix(end)) == (cd, ss)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Train", "train"),
        ("train_set", "train"),
        ("images_train", "train"),
        ("trainImages", "train"),
        ("train2017", "train"),
        ("VALID", "val"),
        ("dev", "val"),
        ("testing", "test"),
        ("trainval", None),
        ("test2", None),
        ("training_area", None),
        ("latest", None),
    ],
)
def test_splits_of_folders(name, split):
    assert split_of(name) == split


def test_a_name_is_cut_at_humps_and_numbers_and_between_known_words():
    assert words("imgDir") == ("img", "dir")
    assert words("im1") == ("im", "1")
    assert words("2019-05-01_image") == ("20190501", "image")
    assert words("Höfe") == ("höfe",)
    assert words(unicodedata.normalize("NFD", "Höfe")) == ("höfe",)


@st.composite
def written(draw, name):
    """Write a name in any case, with any separator."""
    letters = [c.upper() if draw(st.booleans()) else c.lower() for c in name]
    separator = draw(st.sampled_from("-_. "))
    return "".join(letters).replace(" ", separator)


@st.composite
def layouts(draw):
    """Draw the paths of a layout: role -> path of the scene i in the split s."""
    is_pair = draw(st.booleans())
    names = (*draw(st.sampled_from(PAIRS)), draw(st.sampled_from(CHANGES)))
    if not is_pair:
        names = (draw(st.sampled_from(IMAGES)), draw(st.sampled_from(MASKS)))
    roles = ("pre", "post", "mask") if is_pair else ("image", "mask")
    names = [draw(written(name)) for name in names]
    stem = draw(st.sampled_from(["{i}", "Zürich{i}", "area {i}", "x_{i}_of_3"]))
    how = draw(st.sampled_from(["folder", "start", "end", "both"]))
    splits = draw(st.one_of(st.none(), st.sampled_from(SPLITS)))
    below = draw(st.booleans())
    wrapper = draw(st.sampled_from(["", "data/", "ds/v1/"]))
    # An end is set off by a separator of its own, as 'img 1' holds one.
    border = draw(st.sampled_from("-_. "))
    if how in ("start", "end"):  # In img_1 the number counts images.
        numbered = [any(c.isdigit() for c in name) for name in names]
        glued = [re.sub(r"[-_. ]", "", name) for name in names]
        names = [g if has else name for name, g, has in zip(names, glued, numbered, strict=True)]
    templates = {}
    for role, name in zip(roles, names, strict=True):
        file = {"start": f"{name}{border}{stem}", "end": f"{stem}{border}{name}"}.get(how, stem)
        file = f"{stem}{border}{name}" if how == "both" and role == "mask" else file
        folders = [name] if how in ("folder", "both") else []
        folders = [*folders, "{s}"] if below else ["{s}", *folders]
        parts = [folder for folder in folders if splits or folder != "{s}"]
        form = draw(st.sampled_from(["NFC", "NFD"]))
        path = wrapper + "/".join([*parts, f"{file}.png"])
        templates[role] = unicodedata.normalize(form, path)
    return templates, splits


@settings(deadline=None)
@given(layouts())
def test_any_layout_of_the_table_is_found_again(tmp_path_factory, layout):
    templates, splits = layout
    root = tmp_path_factory.mktemp("source")
    expected = set()
    for index, split in enumerate(splits or [None]):
        for i in (7 + 2 * index, 8 + 2 * index):
            files = {role: root / path.format(s=split, i=i) for role, path in templates.items()}
            for path in files.values():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
            known = ("train", "val", "test")[index] if splits else None
            expected.add((known, tuple(sorted(files.items()))))
    found = find(root, "auto")
    assert {(c.split, tuple(sorted(c.files.items()))) for c in found.candidates} == expected
    assert not found.rejected
    assert all(unicodedata.is_normalized("NFC", c.name) for c in found.candidates)
