"""Small complete datasets, for tests of readers."""

import numpy as np

from data_prep.basics.dataset import Dataset, RecordFormat, Scene
from data_prep.shards import shard_plan, writer

CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change"), "denoise": ()}
SIZE = 16
ABOUT = {"source": "toy", "options": {}, "layout": "toy", "split_rule": "toy", "notes": []}
ABOUT |= {"place_rule": "toy", "places_known": True}


def draw(task, num_bands, dtype, scene):
    """Draw random pictures with a square mask; one tile of each scene has no foreground."""
    rng = np.random.default_rng([scene.index, len(scene.split)])
    shape = (scene.height, scene.width)
    names = {"ss": ("image",), "cd": ("pre", "post"), "denoise": ("image",)}[task]
    highest = np.iinfo(dtype).max
    arrays = {
        name: rng.integers(0, highest, (*shape, num_bands), dtype, endpoint=True) for name in names
    }
    arrays["mask"] = np.zeros((*shape, 1), np.uint8)
    arrays["mask"][2:9, 3:8] = task != "denoise"
    arrays["mask"][0, :5] = 255
    return arrays


class Draw:
    """A picklable loader."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __call__(self, scene):
        return draw(*self.arguments, scene)


def plan(task="ss", num_bands=3, dtype="uint8", source=None, counts=(5, 2)):
    """Plan scenes of 30 x 20 + i pixels, which have four tiles each."""

    def files(split, i):
        return {} if source is None else {"image": source / f"{split}_{i}.png"}

    scenes = tuple(
        Scene(f"s{i}", split, i, 30, 20 + i, files(split, i))
        for split, number in zip(("train", "test"), counts, strict=True)
        for i in range(number)
    )
    found = [path for scene in scenes for path in scene.files.values()]
    for path in found:
        path.write_bytes(path.name.encode())
    layout = RecordFormat(task, SIZE, num_bands, dtype, CLASSES[task])
    load = Draw(task, num_bands, dtype)
    return Dataset("toy", layout, scenes, load, ABOUT, source, len(found))


def write(folder, monkeypatch, **options):
    """Write a dataset with two scenes in a shard; return its plan and its folder."""
    dataset = plan(**options)
    layout = dataset.format
    scene_bytes = 4 * SIZE**2 * layout.num_bands * np.dtype(layout.dtype).itemsize
    monkeypatch.setattr(shard_plan, "SHARD_BYTES", 2 * scene_bytes * len(layout.images))
    writer.write(dataset, folder, num_workers=1)
    return dataset, folder / "toy/1.0.0"


def first_record(data):
    """Return the position of a byte in the first record of a shard, within its id."""
    return data.index(b"train/s" if b"train/s" in data else b"test/s")
