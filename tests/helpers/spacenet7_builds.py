"""Builds of `data_prep spacenet7` in tests: runs the command, loads the result, expected masks."""

import json

import numpy as np
import tensorflow_datasets as tfds

from data_prep.__main__ import main
from data_prep.miniatures import spacenet7 as miniature

SIZE, SEED = 96, 3

TRAIN, VAL, SMALL, TEST = (area for _, area, _ in miniature.AREAS)


def drawn():
    """Return what the miniature shows: (area, month) -> truth."""
    return {(t.area, f"{t.date[0]}_{t.date[1]:02d}"): t for t in miniature.draw(SEED, SIZE)}


def written(folder):
    """Write the owner's layout."""
    folder.mkdir()
    miniature.write(folder, seed=SEED, size=SIZE)
    return folder


def run(source, data_dir, *options, name="made"):
    arguments = [f"--source={source}", f"--data_dir={data_dir}", f"--name={name}"]
    return main(["spacenet7", *arguments, "--num_workers=1", "--tile_size=64", *options])


def load(data_dir, name="made"):
    folder = data_dir / name / "1.0.0"
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest, tfds.builder_from_directory(folder).as_data_source()


def built(source, tmp_path, *options):
    assert run(source, tmp_path / "data", *options) == 0
    manifest, data = load(tmp_path / "data")
    assert manifest["used"] + len(manifest["rejected"]) == manifest["found"]
    return manifest, {split: scenes_of(records) for split, records in data.items()}


def scenes_of(records):
    """Join the tiles of each scene: 128 x 128, padding included."""
    scenes = {}
    for record in records:
        scene, _, place = record["id"].decode().partition("/")[2].rpartition("/")
        row, column = int(place[1:6]), int(place[8:13])
        for name in record.keys() - {"id", "place", "has_change"}:
            shape = (128, 128, record[name].shape[-1])
            whole = scenes.setdefault(scene, {}).setdefault(name, np.full(shape, 77, np.uint8))
            whole[row : row + 64, column : column + 64] = record[name]
        tile = record["mask"]
        assert record.get("has_change", None) in (None, bool((tile == 1).any()))
    return scenes


def expected_mask(*months, change=None):
    """Return the correct mask of a month or of a pair: 128 x 128, padding included."""
    masks = [month.mask[..., 0] for month in months]
    mask = masks[0].copy()
    if change == "xor":
        mask = masks[0] ^ masks[1]
    elif change == "new":
        mask = masks[1] & ~masks[0] & 1
    for month in months:
        if month.cloud is not None:
            mask[month.cloud] = 255
    height, width = mask.shape
    return np.pad(mask, ((0, 128 - height), (0, 128 - width)), constant_values=255)


def check_month(scene, month):
    height, width = month.mask.shape[:2]
    np.testing.assert_array_equal(scene["mask"][..., 0], expected_mask(month))
    hidden = np.zeros((height, width), bool) if month.cloud is None else month.cloud
    image = scene["image"][:height, :width]
    np.testing.assert_array_equal(image[~hidden], month.image[~hidden])


def image_of(source, area=TEST, date="2019_04"):
    return source / "train" / area / "images_masked" / f"global_monthly_{date}_mosaic_{area}.tif"


def label_of(source, area=TEST, date="2019_04", folder="labels_match_pix"):
    name = f"global_monthly_{date}_mosaic_{area}_Buildings.geojson"
    return source / "train" / area / folder / name
