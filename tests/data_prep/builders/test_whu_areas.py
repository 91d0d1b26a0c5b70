"""The columns and windows of the WHU mosaics (pure), and the memory they need."""

import subprocess
import sys

import numpy as np
import programs
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from whu_builds import load, save

from data_prep.builders import whu_areas
from data_prep.builders.whu_areas import Area, Part


def test_the_official_widths_give_the_owners_parts():
    whole = Part("mosaic", {}, 15354, 32507)
    divided, rule = whu_areas.by_columns([Area(whole, 0, 32507)], (0.8, 0.1, 0.1), 256)
    train, val, test = divided
    assert (test.first, test.last - test.first) == (21242, 11265)
    assert (train.first, train.last, val.last) == (0, val.first, 21242)
    assert train.last % 256 == 0
    assert f"easternmost {21242 - train.last} of the 21242" in rule
    scenes = [scene for area in divided for scene in whu_areas.windows(area, 256)]
    assert max(s.height * s.width for s in scenes) <= whu_areas.WINDOW_PIXELS
    assert sum(s.height * s.width for s in scenes) == 15354 * 32507
    # Papers with a random split count these.
    assert len(list(whu_areas.tiles(Area(whole, 0, 32507), 256))) == 7620


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 400),
    tile_size=st.integers(5, 80),
    window_tiles=st.integers(1, 5),
    val=st.sampled_from([0.0, 0.1, 0.4]),
)
def test_windows_cover_each_pixel_once(height, width, tile_size, window_tiles, val):
    part = Part("mosaic", {}, height, width)
    cut = round(width * 21242 / 32507)
    if cut <= tile_size or cut == width:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whu_areas, "WINDOW_PIXELS", window_tiles * tile_size**2)
        shares = (0.5, val, 0.5 - val)
        areas, _ = whu_areas.by_columns([Area(part, 0, width)], shares, tile_size)
        assert {area.split for area in areas if area.last > area.first} == {"train", "val", "test"}
        count = np.zeros((height, width), int)
        names = set()
        for area in areas:
            for scene in whu_areas.windows(area, tile_size):
                row, column = scene.window
                count[row : row + scene.height, column : column + scene.width] += 1
                assert scene.width <= window_tiles * tile_size
                assert row + scene.height <= height
                names.add(scene.name)
        assert (count == 1).all()
        assert sum(len(list(whu_areas.windows(area, tile_size))) for area in areas) == len(names)


@pytest.mark.parametrize("shared", [0, 1, 3, 16])
def test_shared_columns_are_counted(tmp_path, shared):
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (40, 90, 3), np.uint8)
    label = rng.integers(0, 2, (40, 90), np.uint8)
    parts = []
    for name, first, last in (("train", 0, 50 + shared), ("test", 50, 90)):
        files = {role: tmp_path / f"{name}_{role}.tif" for role in ("pre", "post", "mask")}
        save(files["pre"], whole[:, first:last])
        save(files["post"], whole[::-1, first:last].copy())
        values = label[:, first:last]
        save(files["mask"], values * 255 if name == "test" else values)
        parts.append(Part(name, files, 40, last - first))
    assert whu_areas.shared_columns(*parts) == shared
    changed = np.array(Image.open(parts[0].files["post"]))
    changed[-1, -1] += 1  # A single pixel tells two pieces of ground apart.
    save(parts[0].files["post"], changed)
    assert whu_areas.shared_columns(*parts) == 0


BUILD = """
import re, sys
from pathlib import Path
from data_prep.shards import shard_plan, writer
from data_prep.__main__ import main
shard_plan.SHARD_BYTES = 2**24  # A shard is held while it is written; windows are what is measured.
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
source, data_dir = sys.argv[1:]
common = [f"--data_dir={data_dir}", "--num_workers=1"]
main(["synthetic", "--task=cd", "--num_scenes=1,0,0", *common])
before = peak()
code = main(["whu", "--task=cd", f"--source={source}", "--tile_size=256", *common])
print(code, peak() - before)
"""


# Not getrusage: a process begins with the ru_maxrss of the one that started it.
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_mosaics(tmp_path):
    """Mosaics of 96 MiB each need windows of 6 MiB; read whole they were above the limit."""
    size = {"height": 4096, "width": 8192, "dtype": "uint8"}
    block = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    for name, count in (("before", 3), ("after", 3), ("change_label", 1)):
        path = tmp_path / "source" / f"{name}.tif"
        path.parent.mkdir(exist_ok=True)
        with (
            pytest.warns(NotGeoreferencedWarning),
            rasterio.open(path, "w", "GTiff", count=count, **size, **block) as target,
        ):
            target.write(np.ones((count, 9, 9), np.uint8), window=((500, 509), (6000, 6009)))
    command = [sys.executable, "-c", BUILD, str(tmp_path / "source"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=programs.ROOT)
    code, growth = done.stdout.split()[-2:]
    assert code == "0"
    assert int(growth) < 90 * 1024
    manifest, _ = load(tmp_path / "out")
    assert sum(e["class_pixels"][1] for e in manifest["splits"].values()) == 81
    assert sum(e["num_with_change"] for e in manifest["splits"].values()) == 1
