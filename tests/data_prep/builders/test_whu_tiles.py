"""The tiles of `data_prep whu`: every layout and size, pixel for pixel against the truth."""

import shutil

import numpy as np
import programs
import pytest
from PIL import Image
from whu_builds import SIZE, load, run, save, written

from data_prep.miniatures import whu as miniature

DATA = programs.SHARED / "data"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return written(tmp_path_factory.mktemp("whu"))


@pytest.fixture(scope="module")
def drawn_tiles():
    return miniature.tiles(seed=5, size=SIZE)


def test_tiles_are_resized_exactly(original, drawn_tiles, tmp_path):
    """Also with the owner's folder one level below the source."""
    options = ("--resize=32", "--name=tiles")
    source = tmp_path / "archive"
    shutil.copytree(original / miniature.TILES, source / miniature.TILES)
    save(source / "1. The whole dataset" / "map.tif", np.zeros((9, 9), np.uint8))
    assert run(source, tmp_path, *options, task="ss") == 0
    manifest, records = load(tmp_path, "tiles")
    assert manifest["layout"] == f"{{train,val,test}}/{{image,label}} in {miniature.TILES}"
    assert manifest["notes"][0].startswith("1 image files lie outside 3. The cropped")
    assert manifest["split_rule"] == "the source's own split folders"
    assert any("64 x 64 pixels were resized to 32 x 32" in note for note in manifest["notes"])
    numbers = {split: len(of_split) for split, of_split in records.items()}
    assert numbers == miniature.NUM_TILES
    for (split, name), (image, mask) in drawn_tiles.items():
        record = records[split][f"{split}/{name}/r00000_c00000"]
        mean = image.reshape(32, 2, 32, 2, 3).mean((1, 3))
        np.testing.assert_array_equal(record["image"], np.floor(mean + 0.5).astype(np.uint8))
        np.testing.assert_array_equal(record["mask"][..., 0], mask[1::2, 1::2])


def test_tiles_keep_their_pixels(original, drawn_tiles, tmp_path):
    """In the authors' layout, whose train folder gives up some tiles to val."""
    assert run(original / miniature.AUTHORS_TILES, tmp_path, "--resize=0", task="ss") == 0
    manifest, records = load(tmp_path, "whu_ss")
    assert manifest["layout"] == "{train,test}/{Image,Mask}"
    assert "1 of 8 train tiles became val" in manifest["split_rule"]
    names = {split: manifest["splits"][split]["scenes"] for split in ("train", "val", "test")}
    assert sorted(names["test"]) == ["0", "1", "2"]
    assert len({*names["train"], *names["val"]}) == 8
    for split, of_split in names.items():
        for name in of_split:
            folder = "test" if split == "test" else "train"
            key = ("val", name[4:]) if name.startswith("val_") else (folder, name)
            image, mask = drawn_tiles[key]
            for row, column in ((0, 0), (0, 32), (32, 0), (32, 32)):
                record = records[split][f"{split}/{name}/r{row:05d}_c{column:05d}"]
                place = slice(row, row + 32), slice(column, column + 32)
                np.testing.assert_array_equal(record["image"], image[place])
                np.testing.assert_array_equal(record["mask"][..., 0], mask[place])


def test_a_seeded_split_of_tiles_keeps_tiles_of_one_name_apart(original, tmp_path):
    options = ("--split=seeded", "--splits=0.4,0.3,0.3", "--resize=64", "--tile_size=64")
    for seed in (0, 1):
        end = (f"--seed={seed}", f"--name=s{seed}")
        assert run(original / miniature.TILES, tmp_path, *options, *end, task="ss") == 0
    names = []
    for seed in (0, 1):
        manifest, records = load(tmp_path, f"s{seed}")
        names.append({split: set(e["scenes"]) for split, e in manifest["splits"].items()})
        every = [name for of_split in names[-1].values() for name in of_split]
        assert sorted(every) == sorted(
            f"{s}_{i}" for s, n in miniature.NUM_TILES.items() for i in range(n)
        )
        assert {split: len(r) for split, r in records.items()} == {"train": 5, "val": 3, "test": 3}
        assert any("neighbouring tiles" in note for note in manifest["notes"])
    assert names[0] != names[1]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real imagery at {DATA}")
def test_real_tiles_are_resized_exactly(tmp_path):
    """Tiles of the owner's own data, 512 x 512, in the owner's folders."""
    truth = {}
    for split, of_split in {"train": "train", "test": "val"}.items():
        folder = DATA / "buildings" / of_split
        for path in sorted((folder / "images").glob("whu_*.png")):
            mask = next((folder / "masks").glob(f"{path.stem}.*"))
            for role, file in {"image": path, "label": mask}.items():
                target = tmp_path / "source" / split / role / f"{path.stem}{file.suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file)
            truth[path.stem] = np.array(Image.open(path)), np.array(Image.open(mask)) > 127
    assert run(tmp_path / "source", tmp_path, "--tile_size=256", task="ss") == 0
    manifest, records = load(tmp_path, "whu_ss")
    assert manifest["mask_encoding"] == "binary255"
    assert any("512 x 512 pixels were resized to 256 x 256" in note for note in manifest["notes"])
    assert sum(map(len, records.values())) == len(truth) > 10
    for of_split in records.values():
        for key, record in of_split.items():
            image, mask = truth[key.split("/")[1]]
            mean = image.reshape(256, 2, 256, 2, 3).mean((1, 3))
            np.testing.assert_array_equal(record["image"], np.floor(mean + 0.5))
            np.testing.assert_array_equal(record["mask"][..., 0], mask[1::2, 1::2])
