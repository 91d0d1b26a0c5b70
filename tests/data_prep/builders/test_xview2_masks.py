"""`data_prep xview2` from masks beside the images, as the paper's authors have them."""

import pathlib
import shutil

import numpy as np
import programs
import pytest
from PIL import Image
from xview2_builds import (
    CLASS_OF_LEVEL,
    SIZE,
    WILDFIRE,
    build,
    cut,
    drawn,
    of_levels,
    refuse,
    resave,
    scenes,
    write_layouts,
)

FIXTURES = programs.SHARED / "data/fixtures/xbd_samples"


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The two layouts; tests copy them before they change anything."""
    return write_layouts(tmp_path_factory.mktemp("miniatures"))


@pytest.fixture(scope="module")
def pairs():
    return drawn()


@pytest.fixture
def owner(originals, tmp_path):
    return pathlib.Path(shutil.copytree(originals / "owner", tmp_path / "owner"))


@pytest.fixture
def authors(originals, tmp_path):
    return pathlib.Path(shutil.copytree(originals / "authors", tmp_path / "authors"))


def test_authors_layout(originals, tmp_path, pairs, capsys):
    source = originals / "authors"
    manifest, records = build(source, tmp_path)
    assert manifest["layout"] == (
        "{train,test}/xBD/DISASTER/{images,masks} (the layout of the paper's authors)"
    )
    assert manifest["mask_encoding"] == "binary255"
    assert [len(names) for names in scenes(manifest).values()] == [4, 1, 2]
    for key, record in records.items():
        pair = pairs[key.split("/")[1]]
        np.testing.assert_array_equal(record["image"], pair.pre)
        np.testing.assert_array_equal(record["mask"], of_levels(pair.levels, "buildings"))
    options = ("--target=damage", "--mask_values=change")
    manifest, records = build(source, tmp_path, *options, resize=16, tile_size=16)
    assert any("taken as change (--mask_values=change)" in note for note in manifest["notes"])
    for key, record in records.items():
        truth = pairs[key.split("/")[1]].levels[2::4, 2::4] > 0
        np.testing.assert_array_equal(record["mask"][..., 0], truth)
    line = refuse(source, tmp_path, capsys, "--target=damage_levels", "--name=y")[0]
    assert "the masks hold two values" in line
    line = refuse(source, tmp_path, capsys, "--truth=labels", "--name=y")[0]
    assert "no labels beside the images (found images, masks)" in line


@pytest.mark.parametrize("target", CLASS_OF_LEVEL)
def test_masks_of_levels(authors, tmp_path, pairs, target):
    for path in authors.glob("*/xBD/*/masks/*.png"):
        Image.fromarray(pairs[path.stem.removesuffix("_pre_disaster")].levels).save(path)
    manifest, records = build(authors, tmp_path, f"--target={target}")
    assert manifest["mask_encoding"] == "index"
    table = [*CLASS_OF_LEVEL[target][:5], 255]  # Of a raster's 255 no more is known.
    for key, record in records.items():
        levels = pairs[key.split("/")[1]].levels
        expected = np.array(table)[np.where(levels == 255, 5, levels)]
        np.testing.assert_array_equal(record["mask"][..., 0], expected)


def values_of_masks(authors, values):
    """Write masks of index values: 0 and then `values` in rows; return them."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for row, value in enumerate(values):
        mask[8 * row : 8 * row + 8] = value
    for path in authors.glob("*/xBD/*/masks/*.png"):
        Image.fromarray(mask).save(path)
    return mask


@pytest.mark.parametrize(
    ("values", "option", "expected"),
    [
        ((1,), "levels", [0]),  # Nothing was damaged: 1 is an intact building.
        ((1,), "change", [1]),
        ((1, 3), "levels", [0, 1]),
        ((1, 3), "auto", [0, 1]),
        ((255,), "change", [1]),
    ],
)
def test_what_the_values_of_masks_tell(authors, tmp_path, values, option, expected):
    mask = values_of_masks(authors, values)
    _, records = build(authors, tmp_path, "--target=damage", f"--mask_values={option}")
    wanted = np.zeros_like(mask)
    for value, number in zip(values, expected, strict=True):
        wanted[mask == value] = number
    for record in records.values():
        np.testing.assert_array_equal(record["mask"][..., 0], wanted)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ((1,), ["--target=damage"], "the masks hold only 0 and 1, which may mark all buildings"),
        ((255,), ["--target=damage"], "the masks hold only 0 and 255, which may mark"),
        (
            (255,),
            ["--target=damage", "--mask_values=levels"],
            "--mask_values=levels: the masks hold 0 and 255, not levels 0 to 4",
        ),
        (
            (1, 3),
            ["--target=damage_levels", "--mask_values=change"],
            "--mask_values=change: --target=damage_levels takes auto or levels",
        ),
        ((1,), ["--mask_values=levels"], "--target=buildings takes auto"),
        (
            (1, 3),
            ["--target=damage", "--mask_values=change"],
            "holds value(s) 3; expected 0 to 1",
        ),
    ],
)
def test_what_masks_cannot_tell_is_refused(authors, tmp_path, capsys, values, options, message):
    values_of_masks(authors, values)
    lines = refuse(authors, tmp_path, capsys, *options)
    assert message in "\n".join(lines)
    assert len(lines) == 1 or "files cannot be used" in lines[0]


def test_masks_of_one_bit_cannot_tell_either(authors, tmp_path, capsys):
    for path in authors.glob("*/xBD/*/masks/*.png"):
        Image.open(path).convert("1").save(path)
    (line,) = refuse(authors, tmp_path, capsys, "--target=damage")
    assert "the masks hold only one bit a pixel, which may mark" in line


def test_mask_values_are_not_for_labels(owner, tmp_path, capsys):
    options = ("--target=damage", "--mask_values=levels")
    (line,) = refuse(owner, tmp_path, capsys, *options)
    assert line == "--mask_values=levels is for masks, but the source has labels"


def test_labels_come_before_masks(authors, originals, tmp_path, pairs):
    for split in ("train", "test"):
        labels = authors / split / "xBD" / WILDFIRE / "labels"
        labels.mkdir()
        for path in (originals / "owner" / split / "labels").glob(f"{WILDFIRE}*"):
            shutil.copy(path, labels)
    manifest, records = build(authors, tmp_path, "--target=damage")
    assert manifest["mask_encoding"] == "polygons"
    assert any("7 pre masks" in note for note in manifest["notes"])
    for key, record in records.items():
        levels = pairs[key.split("/")[1]].levels
        np.testing.assert_array_equal(record["mask"], of_levels(levels, "damage"))
    assert build(authors, tmp_path, "--truth=masks")[0]["mask_encoding"] == "binary255"


def test_an_image_without_mask_is_rejected_or_background(authors, tmp_path, capsys):
    mask = next((authors / "train").glob("xBD/*/masks/*.png"))
    mask.unlink()
    name = mask.stem.removesuffix("_pre_disaster")
    line = refuse(authors, tmp_path, capsys)[0]
    assert f"{name}_pre_disaster.png: {name} has no label or mask (--on_error=skip" in line
    manifest, _ = build(authors, tmp_path, "--on_error=skip")
    assert manifest["found"] == 13
    manifest, records = build(authors, tmp_path, "--no_mask=background")
    assert (manifest["found"], manifest["used"]) == (13, 13)
    record = next(record for key, record in records.items() if name in key)
    assert not record["mask"].any()
    assert "1 scenes have no mask file and were taken as background" in manifest["notes"]


def test_masks_of_wrong_values_and_sizes_are_rejected(authors, tmp_path, capsys):
    first, second, third = sorted((authors / "train").glob("xBD/*/masks/*.png"))[:3]
    resave(lambda picture: picture.resize((32, 32)))(first)
    cut(second)
    Image.fromarray(np.full((SIZE, SIZE), 7, np.uint8)).save(third)
    lines = refuse(authors, tmp_path, capsys, "--mask_encoding=index")
    assert lines[0].startswith("7 of 14 files") is False
    text = "\n".join(lines)
    assert "has 32 x 32 pixels" in text
    assert f"{second.name}: cannot be read" in text
    assert "holds value(s) 7; expected 0 to 1 and 255" in text


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no real imagery at {FIXTURES}")
def test_real_images_and_damage_masks(tmp_path):
    source = tmp_path / "source"
    names = [f"hurricane-florence_{number:08d}" for number in (115, 475)]
    for split, name in zip(("train", "test"), names, strict=True):
        folder = source / split / "xBD/hurricane-florence"
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True)
        for date in ("pre", "post"):
            target = folder / "images" / f"{name}_{date}_disaster.png"
            original = FIXTURES / f"test_{date}_00123.png"
            if split == "train":  # Turned: the same image may not be in two splits.
                with Image.open(original) as picture:
                    picture.transpose(Image.Transpose.ROTATE_90).save(target)
            else:
                target.symlink_to(original)
        mask = FIXTURES / f"{name}_post_disaster.png"
        (folder / "masks" / f"{name}_pre_disaster.png").symlink_to(mask)
    (folder / "images" / "test_pre_00123.png").symlink_to(FIXTURES / "test_pre_00123.png")
    options = ("--disasters=all", "--target=damage_levels", "--splits=1,0,0")
    (source / "train").rename(source / "val")
    for resize in (0, 256):
        sizes = {"resize": resize, "tile_size": resize or 1024}
        manifest, records = build(source, tmp_path, *options, **sizes)
        assert manifest["mask_encoding"] == "index"
        assert any("1 images of the challenge's test set" in n for n in manifest["notes"])
        counts = manifest["splits"]["test"]["class_pixels"]
        with Image.open(FIXTURES / f"{names[1]}_post_disaster.png") as mask:
            values = np.array(mask)[2::4, 2::4] if resize else np.array(mask)
        assert counts == np.bincount(values.ravel(), minlength=5).tolist()
        assert counts[1] > 0
        assert counts[4] > 0
    with Image.open(FIXTURES / "test_post_00123.png") as picture:
        mean = np.array(picture).reshape(256, 4, 256, 4, 3).mean((1, 3))
    post = records[f"test/{names[1]}/r00000_c00000"]["post"]
    assert np.abs(post - mean).max() <= 0.5 + 1e-6
