"""`python -m noise2map_jax.score`: finished maps against masks; a mistake is one line."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from class_maps import write_map
from PIL import Image
from raster_files import write_tiff

from noise2map_jax.class_maps import map_scores
from noise2map_jax.score import main

# Labels and classes of a map: rows of 10 pixels.
TRUTH = np.array([[0] * 4 + [1] * 6, [1] * 10], np.uint8)
MAP = np.array([[0] * 2 + [1] * 6 + [0] * 2, [1] * 10], np.uint8)
# tp 14, fp 2, fn 2, tn 2
F1, IOU, PRECISION, RECALL = 28 / 32, 14 / 18, 14 / 16, 14 / 16


@pytest.fixture
def folders(tmp_path):
    for name in ("maps", "truth"):
        (tmp_path / name).mkdir()
    write_map(tmp_path / "maps" / "a.tif", MAP, ("background", "building"))
    write_tiff(tmp_path / "truth" / "a.tif", TRUTH[..., None])
    return tmp_path


def score(folder, *options, name=""):
    output = folder / "scores.json"
    output.unlink(missing_ok=True)
    paths = [f"--{what}={folder / what / name}" for what in ("maps", "truth")]
    code = main([*paths, f"--output={output}", *options])
    return json.loads(output.read_text())["scores"] if code == 0 else code


def test_scores_are_those_of_the_formulas(folders, capsys):
    found = score(folders)
    assert list(found) == ["all maps"]
    found = found["all maps"]
    assert found["f1/building"] == found["f1/foreground"] == pytest.approx(F1)
    assert found["iou/building"] == pytest.approx(IOU)
    assert found["precision/building"] == pytest.approx(PRECISION)
    assert found["recall/building"] == pytest.approx(RECALL)
    assert found["accuracy"] == pytest.approx(16 / 20)
    assert (found["maps"], found["pixels"], found["unmapped"]) == (1, 20, 0)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["all", "maps", "87.50", "77.78", "87.50", "87.50", "0.000"]
    assert score(folders, name="a.tif") == {"all maps": found}


def test_precision_and_recall_are_not_exchanged(folders):
    write_map(folders / "maps" / "a.tif", np.ones_like(MAP), ("background", "building"))
    found = score(folders)["all maps"]
    assert (found["precision/building"], found["recall/building"]) == (16 / 20, 1)


@pytest.mark.parametrize("window", [10, 1 << 22])
def test_ignored_and_unmapped_pixels_are_in_no_score(folders, window, monkeypatch, capsys):
    monkeypatch.setattr(map_scores, "_WINDOW_PIXELS", window)
    truth, mapped = TRUTH.copy(), MAP.copy()
    truth[0, :3] = 255  # two right backgrounds, one false alarm
    mapped[1, :4] = 255
    write_tiff(folders / "truth" / "a.tif", truth[..., None])
    write_map(folders / "maps" / "a.tif", mapped, ("background", "building"))
    found = score(folders)["all maps"]
    assert (found["pixels"], found["unmapped"]) == (13, 4)
    assert found["f1/building"] == pytest.approx(2 * 10 / (2 * 10 + 1 + 2))
    assert "not scored: 23.5% of the labelled pixels" in capsys.readouterr().out


def test_masks_of_0_and_255_are_read_as_data_prep_reads_them(folders):
    write_tiff(folders / "truth" / "a.tif", 255 * TRUTH[..., None])
    assert score(folders)["all maps"]["f1/building"] == pytest.approx(F1)
    found = score(folders, "--mask_encoding=index")["all maps"]
    assert found["pixels"] == 4
    assert found["recall/building"] is None


def test_maps_are_scored_by_group(folders):
    for name, values in (("a_2", MAP), ("b_1", TRUTH)):
        write_map(folders / "maps" / f"{name}.tif", values, ("background", "building"))
        Image.fromarray(TRUTH).save(folders / "truth" / f"{name}.png")
    Image.fromarray(TRUTH).save(folders / "truth" / "without_a_map.png")
    found = score(folders, "--group_regex=^([a-z])_")
    assert {name: one["maps"] for name, one in found.items()} == {
        "all maps": 3,
        "a": 1,
        "b": 1,
        "other": 1,
    }
    assert found["b"]["f1/building"] == 1
    pooled = 2 * (14 + 14 + 16)
    assert found["all maps"]["f1/building"] == pytest.approx(pooled / (pooled + 8))
    assert list(score(folders)) == ["all maps", "a", "a_2", "b_1"]


def test_several_classes_have_a_line_each(folders, capsys):
    truth = np.array([[0, 1, 2, 2, 2]], np.uint8)
    write_map(folders / "maps" / "a.tif", np.array([[0, 1, 1, 2, 2]], np.uint8), ("no", "b", "c"))
    write_tiff(folders / "truth" / "a.tif", truth[..., None])
    found = score(folders)["all maps"]
    assert found["f1/b"] == pytest.approx(2 / 3)
    assert found["f1/c"] == pytest.approx(4 / 5)
    assert found["f1/foreground"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    text = capsys.readouterr().out
    assert "all maps: b" in text
    assert "all maps: c" in text


@pytest.mark.parametrize("classes", [("mean", "foreground"), ("no", "mean")])
def test_a_class_may_be_called_foreground_or_mean(folders, classes, capsys):
    write_map(folders / "maps" / "a.tif", MAP, classes)
    assert score(folders)["all maps"]["f1/foreground"] == pytest.approx(F1)
    assert capsys.readouterr().out.splitlines()[1].split()[2] == "87.50"


def test_of_three_classes_one_may_be_called_foreground(folders, capsys):
    write_map(folders / "maps" / "a.tif", MAP, ("no", "foreground", "edge"))
    truth = TRUTH.copy()
    truth[1] = 2
    write_tiff(folders / "truth" / "a.tif", truth[..., None])
    found = score(folders)["all maps"]
    assert found["f1/foreground (class)"] == pytest.approx(2 * 4 / (2 * 4 + 12 + 2))
    assert found["f1/foreground"] == pytest.approx(found["f1/foreground (class)"] / 2)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[:4] == ["all", "maps:", "foreground", "36.36"]


def test_masks_that_name_their_classes_are_read_so(folders, capsys):
    """`rasterize` writes such masks: with --area, 255 is what nobody labelled."""
    truth = np.where(TRUTH == 1, 255, TRUTH)
    write_map(folders / "truth" / "a.tif", truth, ("background", "building"), nodata=None)
    found = score(folders)["all maps"]
    assert (found["pixels"], found["recall/building"]) == (4, None)
    out = capsys.readouterr().out
    assert "masks: index (0 to 1, 255 = ignore)" in out
    assert "87.50" not in out  # no building is labelled, so there is no score
    assert score(folders, "--mask_encoding=binary255")["all maps"]["pixels"] == 4


def test_pixels_that_a_map_masks_are_in_no_score(folders):
    path = write_map(folders / "maps" / "a.tif", MAP, ("background", "building"), nodata=None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as target:
        target.write_mask(np.array([[255] * 10, [0] * 10], np.uint8))
    found = score(folders)["all maps"]
    assert (found["pixels"], found["unmapped"]) == (10, 10)
    assert found["f1/building"] == pytest.approx(2 * 4 / (2 * 4 + 2 + 2))


def test_maps_in_folders_of_folders_are_told_apart(folders):
    for name, values in (("x/a", MAP), ("y/a", TRUTH)):
        for what in ("maps", "truth"):
            (folders / what / name).parent.mkdir()
        write_map(folders / "maps" / f"{name}.tif", values, ("background", "building"))
        write_tiff(folders / "truth" / f"{name}.tif", TRUTH[..., None])
    found = score(folders)
    assert list(found) == ["all maps", "a", "x/a", "y/a"]
    assert (found["x/a"]["f1/building"], found["y/a"]["f1/building"]) == (pytest.approx(F1), 1)


def test_names_of_classes_may_be_given_for_a_plain_picture(folders):
    for name, values in (("maps", MAP), ("truth", TRUTH)):
        (folders / name / "a.tif").unlink()
        Image.fromarray(values).save(folders / name / "a.png")
    assert score(folders, "--classes=background,building")["all maps"]["f1/building"] == F1


MISTAKES = {
    "grid": "does not lie on the grid of .*python -m data_prep warp --mask",
    "size": "does not lie on the grid of",
    "no mask": r"1 of 2 maps have no mask of the same name in .*such as .*maps/b\.tif",
    "file and folder": "one is a folder and the other a file",
    "missing": "no file or folder --truth=",
    "class of mask": "holds 7; expected classes from 0 to 1 and 255 = ignore",
    "class of map": "holds class 7, but names 2 classes",
    "other names": "maps with other classes .*b.tif has background, road",
    "other classes": "--classes has no, yes; .*a.tif has background, building",
    "no names": "does not name its classes",
    "damaged": "a.tif",
    "pattern": "is not a regular expression",
    "no group": "has no group; write one in parentheses",
    "twins": "have one name; remove one",
    "both encodings": "--mask_encoding=nonzero takes both as foreground",
    "output": "no folder .* for --output",
    "output is a map": "--output=.*a.tif is not a file of JSON to write",
    "output is a folder": "--output=.* is not a file of JSON to write",
    "0 and 255": "holds no class but background, and 255, .*write 1 for 255 .* or declare it",
    "no match": "--group_regex='.x.' is in no name of a map, such as 'a'",
    "all maps": "maps are called 'all maps'",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_a_line(folders, mistake, capsys):
    maps, truth, options, name = folders / "maps", folders / "truth", [], ""
    classes = ("background", "building")
    if mistake == "grid":
        write_map(maps / "a.tif", MAP, classes, crs="EPSG:32617")
    elif mistake == "size":
        write_map(maps / "a.tif", MAP[:, :-1], classes)
    elif mistake == "no mask":
        write_map(maps / "b.tif", MAP, classes)
    elif mistake == "file and folder":
        options = [f"--truth={truth / 'a.tif'}"]
    elif mistake == "missing":
        options = [f"--truth={folders / 'nowhere'}"]
    elif mistake == "class of mask":
        write_tiff(truth / "a.tif", np.where(TRUTH == 1, 7, TRUTH)[..., None])
        options = ["--mask_encoding=index"]
    elif mistake == "class of map":
        write_map(maps / "a.tif", np.where(MAP == 1, 7, MAP), classes)
    elif mistake == "other names":
        write_map(maps / "b.tif", MAP, ("background", "road"))
        write_tiff(truth / "b.tif", TRUTH[..., None])
    elif mistake == "no names":
        write_map(maps / "a.tif", MAP, ())
    elif mistake == "damaged":
        (truth / "a.tif").write_bytes((truth / "a.tif").read_bytes()[:200])
    elif mistake == "pattern":
        options = ["--group_regex=("]
    elif mistake == "no group":
        options = ["--group_regex=a"]
    elif mistake == "twins":
        Image.fromarray(TRUTH).save(truth / "a.png")
    elif mistake == "both encodings":
        write_map(maps / "b.tif", MAP, classes)
        write_tiff(truth / "b.tif", 255 * TRUTH[..., None])
    elif mistake == "other classes":
        options = ["--classes=no,yes"]
    elif mistake.startswith("output is"):
        options = [f"--output={maps / 'a.tif' if 'map' in mistake else maps}"]
    elif mistake == "0 and 255":
        write_map(maps / "a.tif", 255 * MAP, classes, nodata=None)
    elif mistake == "no match":
        options = ["--group_regex=(x)"]
    elif mistake == "all maps":
        for path in (maps / "a.tif", truth / "a.tif"):
            path.rename(path.with_stem("all maps"))
    elif mistake == "output":
        options = [f"--output={folders / 'nowhere' / 'scores.json'}"]
    capsys.readouterr()
    assert score(folders, *options, name=name) == 2
    text = capsys.readouterr().err
    lines = [line for line in text.splitlines() if not line.startswith("maps:")]
    assert len(lines) == 1, text
    assert re.search(MISTAKES[mistake], lines[0]), text


def test_the_command_line(folders):
    command = [sys.executable, "-m", "noise2map_jax.score"]
    command += [f"--maps={folders / 'maps'}", f"--truth={folders / 'truth'}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "87.50" in done.stdout
