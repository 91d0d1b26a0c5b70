"""The real imagery beside the repository: counts and fractions against the masks themselves."""

import json

import numpy as np
import programs
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.__main__ import main

DATA = programs.SHARED / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real imagery at {DATA}")


def build(tmp_path, source, *options):
    arguments = [f"--source={source}", f"--data_dir={tmp_path / 'shards'}", "--name=real"]
    code = main(["folder", *arguments, "--num_workers=1", *options])
    folder = tmp_path / "shards/real/1.0.0"
    if code:
        return code, None
    return json.loads((folder / "manifest.json").read_text()), folder


@pytest.mark.parametrize(
    ("name", "masks", "fractions", "records"),
    [
        ("levir_cd", "label", {"val": 0.056, "test": 0.104}, {"val": 96, "test": 64}),
        ("buildings", "masks", {"val": 0.389, "test": 0.440}, {"val": 45, "test": 71}),
    ],
)
def test_fractions_agree_with_the_masks(tmp_path, name, masks, fractions, records):
    (tmp_path / "source").mkdir()
    for split in fractions:  # The small splits only: the same reading in a tenth of the time.
        (tmp_path / "source" / split).symlink_to(DATA / name / split)
    manifest, folder = build(tmp_path, tmp_path / "source")
    assert manifest["rejected"] == []
    assert manifest["mask_encoding"] == "binary255"
    data = tfds.builder_from_directory(folder).as_data_source()
    for split, fraction in fractions.items():
        entry = manifest["splits"][split]
        truth = [np.array(Image.open(p)) > 127 for p in (DATA / name / split / masks).iterdir()]
        foreground = sum(int(mask.sum()) for mask in truth)
        size = sum(mask.size for mask in truth)
        assert entry["class_pixels"] == [size - foreground, foreground]
        assert foreground / size == pytest.approx(fraction, abs=5e-4)
        assert len(data[split]) == entry["num_records"] == records[split]
        stored = sum(int((record["mask"] == 1).sum()) for record in data[split])
        assert stored == foreground


def test_dsifn_masks_of_several_encodings(tmp_path, capsys):
    source = tmp_path / "source"
    fixture = DATA / "fixtures" / "dsifn_cd"
    for role in ("A", "B", "label"):
        (source / role).mkdir(parents=True)
        for path in [*(fixture / role).iterdir(), *(fixture / f"{role}_512tif").iterdir()]:
            (source / role / path.name).symlink_to(path)
    manifest, _ = build(tmp_path, source, "--splits=1,0,0")
    assert (manifest["found"], manifest["used"]) == (33, 33)
    foreground = manifest["splits"]["train"]["class_pixels"][1]
    with Image.open(fixture / "label_512tif" / "1237.tif") as one_bit:
        expected = int((np.array(one_bit.convert("L")) > 127).sum())
    for path in (fixture / "label").iterdir():
        with Image.open(path) as mask:
            expected += int((np.array(mask) > 127).sum())
    assert foreground == expected
    assert build(tmp_path, fixture, "--overwrite")[0] == 2  # A_512tif has no role.
    assert "3 of 33 files cannot be used" in capsys.readouterr().err


def test_sixteen_bit_image_with_its_mask(tmp_path):
    fixture = DATA / "fixtures" / "spacenet_uint16_rgb"
    for role, name in {"image": "image_uint16.tif", "mask": "mask.tif"}.items():
        (tmp_path / "source" / role).mkdir(parents=True)
        (tmp_path / "source" / role / "a.tif").symlink_to(fixture / name)
    options = ("--splits=0,0,1", "--dtype=uint16")
    assert build(tmp_path, tmp_path / "source", "--splits=0,0,1")[0] == 2
    manifest, folder = build(tmp_path, tmp_path / "source", *options)
    assert manifest["splits"]["test"]["class_pixels"] == [309425, 113075]  # No-data is 1 there.
    record = tfds.builder_from_directory(folder).as_data_source("test")[0]
    assert record["image"].dtype == np.uint16
    assert record["image"].max() > 255
