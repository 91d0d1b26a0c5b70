"""Damaged and doubtful sources of `data_prep whu`: each a listed rejection, or one line."""

import re

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from whu_builds import IMAGES, SIZE, copier, error, load, run, save, written

from data_prep.builders import whu_areas
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


def tiled(path, array):
    """Write a TIFF of compressed blocks of 32, and return where each block's bytes lie."""
    bands = array[..., None] if array.ndim == 2 else array
    height, width, count = bands.shape
    options = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}
    with (
        pytest.warns(NotGeoreferencedWarning),
        rasterio.open(
            path, "w", "GTiff", height=height, width=width, count=count, dtype="uint8",
            interleave="pixel", **options,
        ) as target,
    ):  # fmt: skip
        target.write(np.moveaxis(bands, -1, 0))
    with Image.open(path) as picture:
        offsets, sizes = picture.tag_v2[324], picture.tag_v2[325]
    across = -(-width // 32)
    return {
        (32 * (i // across), 32 * (i % across)): slice(o, o + n)
        for i, (o, n) in enumerate(zip(offsets, sizes, strict=True))
    }


def test_a_damaged_block_costs_its_window_only(copied, ground, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(whu_areas, "WINDOW_PIXELS", 32 * 32)
    source = copied(miniature.WHOLE)
    path = source / IMAGES / "after/after.tif"
    blocks = tiled(path, ground.post)
    assert run(source, tmp_path / "whole") == 0
    whole = load(tmp_path / "whole")[1]
    data = bytearray(path.read_bytes())
    data[blocks[32, 64]] = bytes(len(data[blocks[32, 64]]))
    path.write_bytes(data)
    assert run(source, tmp_path / "out") == 2
    (line,) = error(capsys)
    relative = f"{IMAGES}/after/after.tif"
    assert line.startswith(f"{relative}: rows 32 to 63, columns 64 to 95: cannot be read (")
    assert not list((tmp_path / "out/whu_cd").glob("1.0.0*"))
    assert run(source, tmp_path / "out", "--on_error=skip") == 0
    manifest, records = load(tmp_path / "out")
    assert manifest["splits"]["train"]["rejected_scenes"] == ["mosaic_r00032_c00064"]
    assert [entry["path"] for entry in manifest["rejected"]] == [relative]
    assert (manifest["found"], manifest["used"]) == (3, 2)
    gone = "train/mosaic_r00032_c00064/r00000_c00000"
    assert whole["train"].keys() - records["train"].keys() == {gone}
    for split, of_split in records.items():
        assert of_split.keys() == whole[split].keys() - {gone}


def test_a_damaged_block_of_the_label_is_listed(copied, ground, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(whu_areas, "WINDOW_PIXELS", 32 * 32)
    source = copied(miniature.WHOLE)
    path = source / IMAGES / "change label/change_label.tif"
    blocks = tiled(path, ground.change * 255)
    data = bytearray(path.read_bytes())
    data[blocks[0, 32]] = bytes(len(data[blocks[0, 32]]))
    path.write_bytes(data)
    assert run(source, tmp_path / "out", "--on_error=skip") == 0
    manifest, _ = load(tmp_path / "out")
    assert manifest["splits"]["train"]["rejected_scenes"] == ["mosaic_r00000_c00032"]
    assert "change_label.tif" in manifest["rejected"][0]["path"]
    assert manifest["mask_encoding"] == "binary255"


def narrower(path):
    save(path, np.array(Image.open(path))[:, :-1].copy())


DAMAGE = {
    "sizes that differ by one": (
        narrower, "after/after.tif", r"has \d+ x \d+ pixels, .*before\.tif has \d+ x \d+",
    ),
    "label of another size": (
        narrower, "change label/change_label.tif", r"has \d+ x \d+ pixels, .*before\.tif has",
    ),
    "odd pre": (narrower, "before/before.tif", r"has \d+ x \d+ pixels, .*after\.tif has \d+ x"),
    "empty": (lambda path: path.write_bytes(b""), "before/before.tif", "is empty"),
    "not an image": (
        lambda path: path.write_bytes(b"II*\0" + bytes(50)), "change label/change_label.tif",
        r"cannot be read \(",
    ),
    "cut": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "after/after.tif", r"(rows|cannot)",
    ),
    "one band": (
        lambda path: save(path, np.array(Image.open(path).convert("L"))), "after/after.tif",
        r"rows 0 to 31, columns 0 to \d+: has 1 band\(s\) of uint8; expected 3",
    ),
    "a value that is no class": (
        lambda path: save(path, np.array(Image.open(path)).astype(np.uint8) * 3),
        "change label/change_label.tif",
        r"rows \d+ to \d+, columns \d+ to \d+: holds value\(s\) 3 in a label of 0 and 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_mosaics_are_listed(copied, tmp_path, capsys, kind):
    damage, name, reason = DAMAGE[kind]
    source = copied(miniature.WHOLE)
    damage(source / IMAGES / name)
    assert run(source, tmp_path / "out") == 2
    (line,) = error(capsys)
    path, text = line.split(": ", 1)
    assert path == f"{IMAGES}/{name}"
    assert re.match(reason, text), text
    assert not list((tmp_path / "out").glob("whu_cd/1.0.0*"))


def test_a_stray_image_is_listed(copied, tmp_path, capsys):
    source = copied(miniature.WHOLE)
    save(source / "overview.png", np.zeros((4, 4), np.uint8))
    assert run(source, tmp_path / "out") == 2
    assert error(capsys)[0].startswith("overview.png: names neither a date")
    assert run(source, tmp_path / "out", "--on_error=skip") == 0
    manifest, _ = load(tmp_path / "out")
    assert (manifest["found"], manifest["used"]) == (4, 3)


def test_damaged_tiles_are_listed_and_can_be_skipped(copied, tmp_path, capsys):
    source = copied(miniature.TILES)
    save(source / "train/image/1.tif", np.zeros((60, 60, 3), np.uint8))
    (source / "test/label/2.tif").unlink()
    (source / "train/label/4.tif").write_bytes(b"")
    assert run(source, tmp_path / "out", "--resize=32", task="ss") == 2
    head, *lines = error(capsys)
    assert head.startswith("3 of 21 files cannot be used")
    assert sorted(lines) == [
        "test/image/2.tif: has no mask file of the same stem",
        "train/image/1.tif: has 60 x 60 pixels; --resize=32 takes only squares whose side is"
        " a multiple or a divisor of 32 (--resize=0 keeps the pixels)",
        "train/label/4.tif: is empty",
    ]
    assert run(source, tmp_path / "out", "--resize=32", "--on_error=skip", task="ss") == 0
    manifest, _ = load(tmp_path / "out", "whu_ss")
    assert (manifest["found"], manifest["used"]) == (21, 16)
    assert manifest["splits"]["train"]["scenes"] == ["0", "2", "3", "5"]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (miniature.TILES, ("--task=cd",), "found mosaic and test and train; expected the"),
        (miniature.PARTS, ("--task=ss",), "all hold tiles; choose one as --source"),
        (miniature.WHOLE, ("--task=cd", "--resize=64"), "--resize=64: only --task=ss is resized"),
        (miniature.WHOLE, ("--task=cd", "--splits=0,0.5,0.5"), "--splits: train's share is 0"),
        (
            miniature.WHOLE,
            ("--task=cd", "--tile_size=512"),
            "more than one tile of --tile_size=512",
        ),
        (miniature.TILES, ("--task=ss", "--resize=16"), "--resize=16 is below --tile_size=32"),
        ("nothing", ("--task=ss",), "not found"),
    ],
)
def test_mistakes_are_one_line(original, tmp_path, capsys, source, options, message):
    assert run(original / source, tmp_path / "out", *options) == 2
    (line,) = error(capsys)
    assert message in line


def test_a_missing_file_of_a_part_is_named(copied, tmp_path, capsys):
    source = copied(miniature.PARTS)
    (source / IMAGES / "change_label/test/change_label.tif").unlink()
    assert run(source, tmp_path / "out") == 2
    (line,) = error(capsys)
    assert "test has no mask file, only" in line
    assert "2016_test.tif" in line
