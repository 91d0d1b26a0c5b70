"""`python -m noise2map_jax.polygonize`: a map becomes polygons, a mistake one line."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import programs
import pytest
import rasterio
from class_maps import read, write_map, write_probability

pytest.importorskip("pyogrio", reason="pyogrio is not installed (extra gis)")

from noise2map_jax.polygonize import main

PLACE = {"crs": "EPSG:32616", "transform": rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 4e6)}


def houses(size=60):
    classes = np.zeros((size, size), np.uint8)
    classes[5:25, 5:25] = classes[40:44, 40:44] = 1
    classes[10:15, 10:15] = 0
    classes[30:, 55:] = 255
    return classes


def test_a_map_becomes_polygons_and_a_line_says_what(tmp_path, capsys):
    source = write_map(tmp_path / "m.tif", houses(), ("background", "building"), **PLACE)
    values = np.where(houses() == 1, 0.75, 0.1).astype(np.float32)
    probability = write_probability(tmp_path / "p.tif", values, **PLACE)
    output = tmp_path / "o.gpkg"
    options = (f"--map={source}", f"--probability={probability}", f"--output={output}")
    assert main([*options, "--min_area=10"]) == 0
    assert capsys.readouterr().out == (
        f"{output}: 1 polygon (building 93.8 m2), 1 too small and left out\n"
    )
    (polygon,), columns = read(output)
    assert columns["mean_probability"] == [0.75]
    assert len(polygon.interiors) == 1
    assert main([*options, "--square", "--simplify=1", "--classes=ground,roof"]) == 0
    assert read(output)[1]["class"] == ["roof", "roof"]


def test_a_mask_of_0_and_255_is_told_from_a_map_of_buildings(tmp_path, capsys):
    source = write_map(tmp_path / "m.tif", np.uint8(255) * (houses() == 1), **PLACE)
    assert main([f"--map={source}", f"--output={tmp_path / 'o.gpkg'}"]) == 0
    assert "0 polygons: all pixels are background (0) or no data (255)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--map=m.tif", "--output=o.shp"), "'o.shp': polygons are written as .gpkg"),
        (("--map=none.tif", "--output=o.gpkg"), "cannot read 'none.tif'"),
        (("--map=m.tif", "--output=o.gpkg", "--min_area=-1"), "--min_area=-1; expected 0"),
        (("--map=m.tif", "--output=o.gpkg", "--probability=x.tif"), "cannot read 'x.tif'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    write_map(tmp_path / "m.tif", houses(), **PLACE)
    assert main(list(options)) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {words}")
    assert printed.count("\n") == 1
    assert os.listdir(tmp_path) == ["m.tif"]


def test_names_of_classes_are_two_or_more_different_ones(capsys):
    for names in ("a", "a,a", "a,"):
        with pytest.raises(SystemExit):
            main(["--map=m.tif", "--output=o.gpkg", f"--classes={names}"])
        assert "expected two or more different names" in capsys.readouterr().err


def size(path):
    """Size in bytes, 0 if there is no file: one is made and removed to see whether it can be."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_a_killed_run_leaves_nothing_of_the_outputs_name(tmp_path):
    noise = (np.random.default_rng(0).random((3000, 2000)) < 0.5).astype(np.uint8)
    source = write_map(tmp_path / "m.tif", noise, **PLACE)
    output = tmp_path / "o.gpkg"
    command = [sys.executable, "-m", "noise2map_jax.polygonize", f"--map={source}"]
    process = subprocess.Popen([*command, f"--output={output}"], cwd=programs.ROOT)
    part = tmp_path / "o.part.gpkg"
    try:
        while process.poll() is None and not size(part):
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    assert code == -signal.SIGKILL
    assert part.exists()
    assert not output.exists()
    write_map(tmp_path / "m.tif", houses(), **PLACE)
    assert main([f"--map={source}", f"--output={output}"]) == 0
    assert len(read(output)[0]) == 2
    assert sorted(os.listdir(tmp_path)) == ["m.tif", "o.gpkg"]
