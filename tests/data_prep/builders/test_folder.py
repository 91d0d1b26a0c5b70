"""`data_prep folder` end to end: right folders become right records, wrong files one line."""

import json

import folder_builds
import numpy as np
import pytest
from folder_builds import error, load, picture, run, save, square
from PIL import Image


@pytest.fixture
def source(tmp_path):
    return folder_builds.roofs(tmp_path)


def whole(records, name, split, scene, height, width):
    """Put the tiles of a scene together again."""
    tiles = {r["id"].decode(): r[name] for r in records}
    size = next(iter(tiles.values())).shape[0]
    rows = range(0, height, size)
    return np.concatenate(
        [
            np.concatenate(
                [tiles[f"{split}/{scene}/r{r:05d}_c{c:05d}"] for c in range(0, width, size)], 1
            )
            for r in rows
        ]
    )[:height, :width]


def test_segmentation_without_splits(source, capsys):
    assert run(source) == 0
    manifest, data = load(source)
    counts = {split: entry["num_scenes"] for split, entry in manifest["splits"].items()}
    assert counts == {"train": 5, "val": 1, "test": 2}
    scenes = [scene for entry in manifest["splits"].values() for scene in entry["scenes"]]
    assert sorted(scenes) == [str(i) for i in range(8)]
    ids = [record["id"].decode() for split in data.values() for record in split]
    assert len(set(ids)) == len(ids) == 8 * 4
    for split, entry in manifest["splits"].items():
        assert len(data[split]) == entry["num_records"] == 4 * entry["num_scenes"]
        assert entry["class_pixels"] == [entry["num_scenes"] * n for n in (1400, 200)]
        assert entry["ignore_pixels"] == entry["num_scenes"] * (64 * 64 - 1600)
        for scene in entry["scenes"]:
            records = [r for r in data[split] if r["id"].decode().split("/")[1] == scene]
            image = whole(records, "image", split, scene, 40, 40)
            np.testing.assert_array_equal(image, picture(int(scene)))
            mask = whole(records, "mask", split, scene, 64, 64)
            np.testing.assert_array_equal(mask[:40, :40, 0], square(value=1))
            assert (mask[40:] == 255).all()
            assert (mask[:, 40:] == 255).all()
    assert manifest["mask_encoding"] == "binary255"
    assert (manifest["task"], manifest["num_bands"], manifest["dtype"]) == ("ss", 3, "uint8")
    assert manifest["source"] == "My-Roofs"
    assert str(source.parent) not in json.dumps(manifest)
    output = capsys.readouterr().out
    assert "binary255 (0 = background, 255 = building" in output
    assert "16 used + 0 rejected = 16 found" in output
    assert "building 0.1250" in output


def test_pairs_of_mixed_formats_and_sizes_with_own_splits(tmp_path):
    source, arrays = tmp_path / "pairs", {}
    sizes = {"train": [(20, 40), (33, 31), (64, 32)], "test": [(16, 16)]}
    for split, shapes in sizes.items():
        for i, (height, width) in enumerate(shapes):
            a, b = picture(i, height, width), picture(i + 9, height, width)
            save(source / split / f"A/{i}.tif", a)
            save(source / split / f"B/{i}.png", b)
            values = square(height, width, 1 if i else 0)  # The scenes 0 hold no change.
            values[0, 0] = 255
            save(source / split / f"label/{i}.{'png' if i else 'tif'}", values)
            arrays[split, str(i)] = a, b, values
    assert run(source) == 0
    manifest, data = load(source, "pairs")
    assert set(data) == {"train", "val", "test"}
    assert manifest["mask_encoding"] == "index"
    assert manifest["layout"] == "{train,test}/{A,B,label}"
    assert "1 of 3 train places became val" in manifest["split_rule"]
    assert manifest["splits"]["test"]["num_with_change"] == 0
    change = manifest["splits"]["train"], manifest["splits"]["val"]
    assert sum(entry["num_with_change"] for entry in change) == 2
    for split, entry in manifest["splits"].items():
        for scene in entry["scenes"]:
            records = [r for r in data[split] if r["id"].decode().split("/")[1] == scene]
            a, b, mask = arrays["test" if split == "test" else "train", scene]
            for name, array in {"pre": a, "post": b, "mask": mask[..., None]}.items():
                tiled = whole(records, name, split, scene, *array.shape[:2])
                np.testing.assert_array_equal(tiled, array)


def test_unlabelled_images_and_mean_splits(tmp_path):
    for i in range(4):
        save(tmp_path / f"land/class{i % 2}/{i}.jpg", picture(i, 32, 32))
    assert run(tmp_path / "land", "--splits=0.5,0.5,0") == 0
    manifest, data = load(tmp_path / "land", "land")
    assert {split: len(records) for split, records in data.items()} == {"train": 2, "val": 2}
    assert set(data["train"][0]) == {"id", "place", "image", "mask"}
    assert "class_pixels" not in manifest["splits"]["train"]


@pytest.mark.parametrize(("bands", "dtype"), [(3, "uint16"), (5, "uint8"), (1, "uint8")])
def test_other_bands_and_types(tmp_path, bands, dtype):
    for i in range(3):
        save(tmp_path / f"s/image/{i}.tif", picture(i, 20, 20, bands, np.dtype(dtype)))
        save(tmp_path / f"s/mask/{i}.png", square(20, 20))
    assert run(tmp_path / "s", f"--dtype={dtype}") == 0
    manifest, data = load(tmp_path / "s", "s")
    assert (manifest["num_bands"], manifest["dtype"]) == (bands, dtype)
    for records in data.values():
        image = records[0]["image"]
        seed = int(records[0]["id"].decode().split("/")[1])
        assert image.dtype == dtype
        own = picture(seed, 20, 20, bands, np.dtype(dtype))
        mirrored = np.pad(own, ((0, 12), (0, 12), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(image, mirrored)


def test_transparent_pixels_are_ignored(source):
    rgba = np.dstack([picture(0), np.full((40, 40), 255, np.uint8)])
    rgba[7, 12, 3] = 0  # Inside the square.
    save(source / "image/0.png", rgba)
    assert run(source, "--splits=1,0,0") == 0
    manifest, data = load(source)
    mask = whole(data["train"], "mask", "train", "0", 40, 40)
    assert np.argwhere(mask[..., 0] == 255).tolist() == [[7, 12]]
    assert manifest["splits"]["train"]["class_pixels"] == [8 * 1400, 8 * 200 - 1]
    assert any("1 of 8 images have an alpha band" in note for note in manifest["notes"])


def test_a_stray_value_and_one_bit_masks_fit_in(source):
    stray = square()
    stray[0, 0] = 254
    save(source / "mask/0.png", stray)
    Image.fromarray(square()).convert("1").save(source / "mask/1.png")
    save(source / "mask/2.png", np.zeros((40, 40), np.uint8))
    assert run(source, "--splits=1,0,0") == 0
    manifest, _ = load(source)
    assert manifest["mask_encoding"] == "binary255"
    assert manifest["splits"]["train"]["class_pixels"][1] == 7 * 200 + 1


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = {
    "image without mask": (
        lambda s: (s / "mask/3.png").unlink(),
        "image/3.png: has no mask file of the same stem",
    ),
    "mask without image": (
        lambda s: (s / "image/3.png").unlink(),
        "mask/3.png: has no image file of the same stem",
    ),
    "mask of another size": (
        lambda s: save(s / "mask/3.png", square(40, 39)),
        "mask/3.png: has 39 x 40 pixels, but image/3.png has 40 x 40",
    ),
    "cut PNG": (lambda s: truncate(s / "image/3.png"), "image/3.png: cannot be read ("),
    "empty mask file": (lambda s: (s / "mask/3.png").write_bytes(b""), "mask/3.png: is empty"),
    "value outside the classes": (
        lambda s: [save(s / f"mask/{i}.png", square(value=7 if i == 3 else 1)) for i in range(8)],
        "mask/3.png: holds value(s) 7; a mask of 2 classes holds 0 to 1 and 255",
    ),
    "16 bits": (
        lambda s: [
            (s / "image/3.png").unlink(),
            save(s / "image/3.tif", picture(3, dtype=np.uint16)),
        ],
        "image/3.tif: has uint16 pixels, but --dtype=uint8 is configured",
    ),
    "other bands": (
        lambda s: save(s / "image/3.png", picture(3)[..., 0]),
        "image/3.png: has 1 band(s), but most images have 3",
    ),
    "same stem twice": (
        lambda s: save(s / "image/3.jpg", picture(3)),
        "image/3.jpg: 3.jpg and 3.png have the same stem",
    ),
    "colour mask": (
        lambda s: save(s / "mask/3.png", picture(3)),
        "mask/3.png: is a mask of colours",
    ),
    "unknown folder": (
        lambda s: save(s / "A_512tif/3.png", picture(3)),
        "A_512tif/3.png: lies in none of the folders image, mask",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_one_bad_file_is_one_line_and_can_be_skipped(source, capsys, fault):
    damage, message = BAD[fault]
    damage(source)
    assert run(source) == 2
    (line,) = error(capsys)
    assert line.startswith(message)
    assert not list(source.parent.glob("shards/*"))

    assert run(source, "--on_error=skip") == 0
    manifest, data = load(source)
    path, reason = message.split(": ", 1)
    (listed,) = [r for r in manifest["rejected"] if r["path"] == path]
    assert listed["reason"].startswith(reason)
    assert manifest["used"] + len(manifest["rejected"]) == manifest["found"]
    on_disk = len([p for p in source.rglob("*") if p.is_file()])
    assert manifest["found"] == on_disk
    good = {r["id"].decode().split("/")[1] for split in data.values() for r in split}
    assert good == {str(i) for i in range(8)} - ({"3"} if fault != "unknown folder" else set())


def test_cut_tiff_and_pair_of_different_sizes(tmp_path, capsys):
    for i in range(4):
        for role in "AB":
            save(tmp_path / f"cd/{role}/{i}.tif", picture(i))
        save(tmp_path / f"cd/label/{i}.png", square())
    truncate(tmp_path / "cd/A/1.tif")
    save(tmp_path / "cd/B/2.tif", picture(2, 40, 24))
    assert run(tmp_path / "cd") == 2
    head, first, second = error(capsys)
    assert head == "2 of 12 files cannot be used (--on_error=skip goes on without them)"
    assert first.startswith("A/1.tif: cannot be read (")
    assert second == (
        "B/2.tif: is not on the grid of A/2.tif: 24 x 40 pixels instead of 40 x 40"
        f" (python -m data_prep warp --image={tmp_path}/cd/B/2.tif --onto={tmp_path}/cd/A/2.tif"
        " --output=WARPED.tif writes it there; put WARPED.tif in its place)"
    )


def test_8_bits_where_16_are_configured(source, capsys):
    assert run(source, "--dtype=uint16") == 2
    assert error(capsys)[1].endswith(
        "has uint8 pixels, but --dtype=uint16 is configured (--dtype=uint8 takes them)"
    )


def test_a_split_that_skipping_empties_is_an_error(tmp_path, capsys):
    for split in ("train", "val"):
        for i in range(2):
            save(tmp_path / f"s/{split}/image/{i}.png", picture(i))
            save(tmp_path / f"s/{split}/mask/{i}.png", square())
    for i in range(2):
        truncate(tmp_path / f"s/val/image/{i}.png")
    assert run(tmp_path / "s", "--on_error=skip") == 2
    assert error(capsys)[0].startswith("no scene is left for val: 2 of 8 files")
