"""Folder names -> scenes: every layout that is read, and every one that is refused."""

import pytest

from data_prep.basics.errors import UserError
from data_prep.reading.layout import find


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def scenes(found):
    return {(c.split, c.name): sorted(c.files) for c in found.candidates}


@pytest.mark.parametrize(
    ("images", "masks"),
    [("Image", "Mask"), ("image", "label"), ("images", "masks"), ("IMAGES", "OUT")],
)
def test_segmentation_layouts(tmp_path, images, masks):
    for split in ("train", "Val", "TEST"):
        touch(tmp_path, f"{split}/{images}/a.jpg", f"{split}/{masks}/a.png")
    found = find(tmp_path, "auto")
    assert found.task == "ss"
    assert found.has_splits
    assert scenes(found) == {(s, "a"): ["image", "mask"] for s in ("train", "val", "test")}
    assert found.num_found == 6
    assert found.description == f"{{train,val,test}}/{{{','.join(sorted([images, masks]))}}}"


@pytest.mark.parametrize("label", ["label", "OUT"])
def test_change_layouts(tmp_path, label):
    touch(tmp_path, "A/x/1.TIF", "B/x/1.png", f"{label}/x/1.png", "notes.txt", "A/._1.png")
    found = find(tmp_path, "auto")
    assert found.task == "cd"
    assert not found.has_splits
    assert scenes(found) == {(None, "x/1"): ["mask", "post", "pre"]}
    assert (found.num_found, found.rejected) == (3, ())


def test_images_at_any_depth_are_unlabelled(tmp_path):
    touch(tmp_path, "farm/a.jpg", "farm/north/a.jpg", "b.jpeg")
    found = find(tmp_path, "auto")
    assert found.task == "denoise"
    assert sorted(name for _, name in scenes(found)) == ["b", "farm/a", "farm/north/a"]


def test_split_folders_below_the_roles_are_split_folders(tmp_path):
    touch(tmp_path, "images/train/a.png", "masks/train/a.png")
    touch(tmp_path, "images/test/a.png", "masks/test/a.png")
    assert set(scenes(find(tmp_path, "auto"))) == {("train", "a"), ("test", "a")}
    touch(tmp_path, "images/b.png")
    with pytest.raises(UserError, match=r"images/b\.png in none"):
        find(tmp_path, "auto")


def test_pairs_as_unlabelled_images_share_their_site(tmp_path):
    touch(tmp_path, "A/1.png", "B/1.png", "label/1.png")
    found = find(tmp_path, "denoise")
    assert {c.name: c.site for c in found.candidates} == {"A/1": "1", "B/1": "1"}
    assert (found.num_found, found.num_unused) == (2, 1)


def test_links_are_followed_but_not_in_circles(tmp_path):
    touch(tmp_path / "else", "a.png")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link").symlink_to(tmp_path / "else")
    (tmp_path / "else" / "back").symlink_to(tmp_path / "source")
    assert [c.name for c in find(tmp_path / "source", "auto").candidates] == ["link/a"]


def test_partners_are_matched_by_stem_and_the_others_listed(tmp_path):
    touch(tmp_path, "image/a.jpg", "mask/a.png", "image/b.jpg", "mask/c.png")
    touch(tmp_path, "image/d.png", "image/d.jpg", "mask/d.png", "extra/e.png", "image/f.bmp")
    found = find(tmp_path, "auto")
    assert set(scenes(found)) == {(None, "a")}
    reasons = {r.path: (r.reason, r.is_cause) for r in found.rejected}
    assert reasons == {
        "image/b.jpg": ("has no mask file of the same stem", True),
        "mask/c.png": ("has no image file of the same stem", True),
        "image/d.jpg": ("d.jpg and d.png have the same stem", True),
        "image/d.png": ("d.jpg and d.png have the same stem", False),
        "mask/d.png": ("its partner image/d.jpg is rejected", False),
        "extra/e.png": ("lies in none of the folders image, mask", True),
        "image/f.bmp": (".bmp files are not read", True),
    }
    assert found.num_found == 2 + len(reasons)


def test_a_pair_without_its_second_image_is_one_mistake(tmp_path):
    touch(tmp_path, "A/1.png", "B/1.png", "label/1.png", "A/2.png", "label/2.png")
    causes = [r for r in find(tmp_path, "auto").rejected if r.is_cause]
    assert [(r.path, r.reason) for r in causes] == [
        ("A/2.png", "has no post file of the same stem")
    ]


def test_images_beside_the_split_folders_are_listed(tmp_path):
    touch(tmp_path, "train/image/a.png", "train/mask/a.png", "preview.png")
    (rejected,) = find(tmp_path, "auto").rejected
    assert (rejected.path, rejected.reason) == ("preview.png", "lies outside the split folders")


@pytest.mark.parametrize(
    ("paths", "task", "message"),
    [
        ([], "auto", "holds no PNG, JPEG or TIFF$"),
        (["a.bmp", "b.txt"], "auto", r"holds no PNG, JPEG or TIFF \(found .bmp, .txt\)"),
        (["A/1.png", "B/1.png"], "auto", "A and B are a pair without a label"),
        (["mask/1.png"], "auto", "mask holds masks, and nothing is known to be images"),
        (["A/1.png", "B/1.png", "label/1.png", "image/1.png"], "auto", "fit ss and cd"),
        (
            ["image/1.png", "mask/1.png"],
            "cd",
            r"--task=cd needs A/B/label: .*\nfound: 1 file in image/ \(1.png\), 1 file in mask/",
        ),
        (["1.png"], "ss", r"--task=ss needs image/mask: .*\nfound: 1 file in the source \(1.png\)"),
        (["images/1.png", "image/2.png", "mask/1.png"], "auto", "folders image and images both"),
        (["val/1.png", "valid/1.png"], "auto", "folders val and valid both mean the val split"),
        (
            ["train/image/1.png", "train/mask/1.png", "test/image/2.png"],
            "auto",
            "test has no mask files, only image",
        ),
        (["city/label/1.png"], "auto", "label holds masks, and nothing is known to be images"),
        (["x.png", "y.png", "c/d/test/a.png"], "auto", "c/d/test/a.png lies in a split folder, x"),
    ],
)
def test_layouts_that_are_refused(tmp_path, paths, task, message):
    touch(tmp_path, *paths)
    with pytest.raises(UserError, match=message):
        find(tmp_path, task)


def test_a_missing_source_and_a_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere: not found"):
        find(tmp_path / "nowhere", "auto")
    touch(tmp_path, "a.png")
    with pytest.raises(UserError, match=r"a\.png: not a folder"):
        find(tmp_path / "a.png", "auto")
