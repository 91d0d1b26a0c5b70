"""`data_prep aid`: whole images or tiles inside them, never padding; shares of every class."""

import json
import pathlib
import shutil

import numpy as np
import programs
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.__main__ import main
from data_prep.miniatures import aid as miniature

SIZE = 48
UNLABELLED = programs.SHARED / "data/unlabelled"


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aid")
    miniature.write(folder, seed=0, size=SIZE)
    return folder


@pytest.fixture
def source(original, tmp_path):
    return pathlib.Path(shutil.copytree(original, tmp_path / "source"))


def run(source, data_dir, *options, tile_size=SIZE):
    command = ["aid", f"--source={source}", f"--data_dir={data_dir}", "--num_workers=1"]
    return main([*command, *([f"--tile_size={tile_size}"] if tile_size else []), *options])


def build(source, tmp_path, *options, tile_size=SIZE):
    """Build; return the manifest and the images by id."""
    assert run(source, tmp_path / "shards", "--overwrite", *options, tile_size=tile_size) == 0
    folder = tmp_path / "shards/aid/1.0.0"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["used"] + len(manifest["rejected"]) == manifest["found"]
    data = tfds.builder_from_directory(folder).as_data_source()
    records = [record for split in data.values() for record in split]
    return manifest, {record["id"].decode(): record["image"] for record in records}


def refuse(source, tmp_path, capsys, *options, tile_size=SIZE):
    capsys.readouterr()
    assert run(source, tmp_path / "shards", "--overwrite", *options, tile_size=tile_size) == 2
    return capsys.readouterr().err.split("data_prep: error: ")[1].splitlines()


def decoded(path):
    with Image.open(path) as picture:
        return np.array(picture)


def test_whole_images_in_class_folders(original, tmp_path):
    manifest, images = build(original, tmp_path)
    assert (manifest["task"], manifest["tile_size"], manifest["classes"]) == ("denoise", SIZE, [])
    assert manifest["layout"] == "3 class folders of images (the owner's layout)"
    (note,) = manifest["notes"]
    assert note.startswith("places are not known: 12 of 12 scenes have no georeference")
    assert manifest["found"] == len(images) == 12
    for split, entry in manifest["splits"].items():
        for scene in entry["scenes"]:
            image = images[f"{split}/{scene}/r00000_c00000"]
            np.testing.assert_array_equal(image, decoded(original / "AID" / f"{scene}.jpg"))


def test_the_default_is_a_record_of_600_pixels_an_image(tmp_path):
    folder = tmp_path / "AID/AID_dataset/AID/Airport"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (600, 600, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"airport_{number}.jpg")
    manifest, images = build(tmp_path / "AID", tmp_path, tile_size=None)
    assert manifest["tile_size"] == 600
    assert {image.shape for image in images.values()} == {(600, 600, 3)}
    every = [scene for entry in manifest["splits"].values() for scene in entry["scenes"]]
    assert sorted(every) == [f"Airport/airport_{number}" for number in range(3)]


def test_every_class_is_in_every_split_by_its_share(source, tmp_path, capsys):
    for name in miniature.CLASSES:
        for number in range(5, 21):
            first = source / "AID" / name / f"{name.lower()}_1.jpg"
            content = first.read_bytes() + bytes([number])  # One copy would be in two splits.
            first.with_name(f"{name.lower()}_{number}.jpg").write_bytes(content)
    manifest, _ = build(source, tmp_path)
    counts = {
        split: [sum(scene.startswith(name) for scene in entry["scenes"]) for name in "FMS"]
        for split, entry in manifest["splits"].items()
    }
    assert counts == {"train": [18] * 3, "val": [1] * 3, "test": [1] * 3}
    assert manifest["split_rule"].startswith("in each class folder, 90 % train, 5 % val, 5 % test")
    other, _ = build(source, tmp_path, "--seed=1")
    assert other["splits"]["train"]["scenes"] != manifest["splits"]["train"]["scenes"]
    for path in list((source / "AID" / "School").iterdir())[2:]:
        path.unlink()
    line = refuse(source, tmp_path, capsys)[0]
    assert line.startswith("School: 2 image(s) cannot be divided into 3 splits")
    manifest, _ = build(source, tmp_path, "--splits=1,0,0")
    assert list(manifest["splits"]) == ["train"]


def test_tiles_lie_inside_and_what_is_cut_off_is_counted(original, tmp_path):
    manifest, images = build(original, tmp_path, tile_size=20)
    assert len(images) == 12 * 4
    for key, tile in images.items():
        _, folder, stem, place = key.split("/")
        row, column = (4 + int(text[1:]) for text in place.split("_"))
        whole = decoded(original / "AID" / folder / f"{stem}.jpg")
        np.testing.assert_array_equal(tile, whole[row : row + 20, column : column + 20])
    cut, total = 12 * (48 * 48 - 40 * 40), 12 * 48 * 48
    assert manifest["notes"][:-1] == [
        f"{cut} of {total} pixels ({100 * cut / total:.1f} %) are cut off at the edges of"
        " the images, where no tile of 20 fits"
    ]


def test_resized_images_are_means(original, tmp_path, capsys):
    manifest, images = build(original, tmp_path, "--resize=24", tile_size=24)
    for key, image in images.items():
        scene = key.split("/", 1)[1].rsplit("/", 1)[0]
        whole = decoded(original / "AID" / f"{scene}.jpg").astype(float)
        mean = whole.reshape(24, 2, 24, 2, 3).mean((1, 3))
        assert np.abs(image - mean).max() <= 0.5
    assert manifest["options"]["resize"] == 24
    line = refuse(original, tmp_path, capsys, "--resize=24")[0]
    assert line == "--resize=24 is below --tile_size=48"


def test_a_flat_folder(source, tmp_path):
    for path in source.glob("AID/*/*.jpg"):
        path.rename(source / path.name)
    shutil.rmtree(source / "AID")
    manifest, images = build(source, tmp_path)
    assert manifest["layout"] == "one folder of images"
    assert len(images) == 12
    assert manifest["split_rule"].startswith("by image, 90 %")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("no picture"), "cannot be read"),
        (lambda path: Image.new("RGB", (48, 47)).save(path), "has 48 x 47 pixels, fewer than"),
        (lambda path: Image.new("L", (48, 48)).save(path), "has 1 band(s) of uint8; expected"),
        (lambda path: Image.new("RGBA", (48, 48)).save(path, "PNG"), "has pixels without data"),
        (lambda path: path.rename(path.with_suffix(".webp")), ".webp files are not read"),
    ],
)
def test_damage_is_listed(source, tmp_path, capsys, damage, reason):
    damage(source / "AID/School/school_2.jpg")
    assert reason in "\n".join(refuse(source, tmp_path, capsys))
    manifest, images = build(source, tmp_path, "--on_error=skip")
    assert len(images) == 11
    [entry] = manifest["rejected"]
    assert entry["path"].startswith("AID/School/school_2")
    assert reason in entry["reason"]


def test_split_folders_are_another_dataset(source, tmp_path, capsys):
    (source / "AID").rename(source / "train")
    assert "has split folders, but AID has none" in refuse(source, tmp_path, capsys)[0]


@pytest.mark.skipif(not UNLABELLED.is_dir(), reason=f"no real imagery at {UNLABELLED}")
def test_real_images(tmp_path):
    manifest, images = build(UNLABELLED / "aid_600", tmp_path, tile_size=None)
    assert manifest["found"] == len(images) == 16
    (tmp_path / "some").mkdir()
    for name in ("Airport", "Beach"):
        (tmp_path / "some" / name).symlink_to(UNLABELLED / "aid_150" / name)
    manifest, images = build(tmp_path / "some", tmp_path, tile_size=150)
    counts = {split: entry["num_records"] for split, entry in manifest["splits"].items()}
    assert counts == {"train": 180, "val": 10, "test": 10}
    path = next((UNLABELLED / "aid_150/Beach").iterdir())
    stored = next(image for key, image in images.items() if f"/Beach/{path.stem}/" in key)
    np.testing.assert_array_equal(stored, decoded(path))
