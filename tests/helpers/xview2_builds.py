"""Builds of `data_prep xview2` in tests, and ways to damage its files."""

import json

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.__main__ import main
from data_prep.miniatures import xview2 as miniature

SIZE = 64  # Pixels a side of the miniatures.
WILDFIRE = "santa-rosa-wildfire"
CLASS_OF_LEVEL = {  # Levels 0 to 4, and un-classified.
    "buildings": (0, 1, 1, 1, 1, 1),
    "damage": (0, 0, 1, 1, 1, 255),
    "damage_levels": (0, 1, 2, 3, 4, 255),
}


def write_layouts(folder):
    """Write the owner's layout and that of the paper's authors."""
    for name, write in (("owner", miniature.write), ("authors", miniature.write_authors)):
        (folder / name).mkdir()
        write(folder / name, seed=0, size=SIZE)
    return folder


def drawn():
    """Return what the miniatures show: name of a pair -> truth."""
    return {pair.name: pair for pair in miniature.draw(0, SIZE)}


def of_levels(levels, target):
    table = np.full(256, 99, np.uint8)
    table[[0, 1, 2, 3, 4, 255]] = CLASS_OF_LEVEL[target]
    return table[levels][..., None]


def scenes(manifest):
    return {split: entry["scenes"] for split, entry in manifest["splits"].items()}


def run(source, data_dir, *options, resize=0, tile_size=SIZE):
    command = ["xview2", f"--source={source}", f"--data_dir={data_dir}", "--name=x"]
    return main(
        [*command, "--num_workers=1", f"--resize={resize}", f"--tile_size={tile_size}", *options]
    )


def build(source, tmp_path, *options, **sizes):
    """Build the dataset; return the manifest and the records by id."""
    assert run(source, tmp_path / "shards", "--overwrite", *options, **sizes) == 0
    folder = tmp_path / "shards/x/1.0.0"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["used"] + len(manifest["rejected"]) == manifest["found"]
    data = tfds.builder_from_directory(folder).as_data_source()
    records = [record for split in data.values() for record in split]
    return manifest, {record["id"].decode(): record for record in records}


def refuse(source, tmp_path, capsys, *options, **sizes):
    """Run a build that must fail; return the lines of its error."""
    capsys.readouterr()
    assert run(source, tmp_path / "shards", *options, **sizes) == 2
    return capsys.readouterr().err.split("data_prep: error: ")[1].splitlines()


def edit(path, change):
    label = json.loads(path.read_text())
    changed = change(label)
    path.write_text(json.dumps(label if changed is None else changed))


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def resave(convert):
    def change(path):
        with Image.open(path) as picture:
            changed = convert(picture)
        changed.save(path)

    return change
