"""`data_prep spacenet7` on its miniature: masks against the drawn truth, options, damage."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from spacenet7_builds import (
    SEED,
    SIZE,
    SMALL,
    TEST,
    TRAIN,
    VAL,
    built,
    check_month,
    drawn,
    expected_mask,
    image_of,
    run,
    written,
)

from data_prep.__main__ import main
from data_prep.builders import spacenet7
from data_prep.builders.spacenet7_layout import paper_split
from data_prep.imagery.files import read_grid
from data_prep.miniatures import spacenet7 as miniature


@pytest.fixture(scope="module")
def truth():
    return drawn()


@pytest.fixture(scope="module")
def owners(tmp_path_factory):
    return written(tmp_path_factory.mktemp("owner") / "sn7")


@pytest.fixture
def copy(owners, tmp_path):
    """A copy of the owner's layout to be damaged."""
    shutil.copytree(owners, tmp_path / "sn7")
    return tmp_path / "sn7"


@pytest.mark.parametrize(
    ("labels", "reading"),
    [
        ("auto", "pixels"),
        ("labels_match_pix", "pixels"),
        ("labels_match", "EPSG:3857"),
        ("labels", "EPSG:4326"),
    ],
)
def test_masks_are_the_truth_in_all_coordinates(owners, truth, tmp_path, labels, reading):
    """None of the pixels differs, be the footprints in degrees, metres or pixels."""
    manifest, splits = built(owners, tmp_path, "--months=all", f"--labels={labels}")
    seen = {}
    for split, scenes in splits.items():
        for name, scene in scenes.items():
            area, date = name.split("/")
            assert paper_split()[area] == split
            check_month(scene, truth[area, date])
            seen[area, date] = split
    assert seen.keys() == truth.keys()
    assert any(f"read as {reading}" in note for note in manifest["notes"])
    assert manifest["layout"].startswith("the owner's")
    assert manifest["found"] == manifest["used"] == 16 * 2 + 4
    assert {s: e["num_scenes"] for s, e in manifest["splits"].items()} == {
        "train": 8,
        "val": 4,
        "test": 4,
    }
    assert "10.3390/rs15215135" in manifest["split_rule"]
    assert manifest["splits"]["train"]["ignore_pixels"] > 0


def test_the_miniature_is_what_it_should_be(owners, truth):
    masks = [month.mask for month in truth.values()]
    assert sum(not mask.any() for mask in masks) >= 1  # A month without buildings.
    assert sum(month.cloud is not None for month in truth.values()) == 4
    assert any(month.mask.shape[0] == SIZE - 1 for month in truth.values())
    first, last = truth[TRAIN, "2018_11"].mask, truth[TRAIN, "2019_04"].mask
    assert (last & ~first & 1).sum() > 50  # Buildings appear,
    assert any(  # and a few go.
        (truth[a, "2018_11"].mask & ~truth[a, "2019_04"].mask & 1).any() for a in (SMALL, TEST)
    )
    assert any(month.mask[40:56, 60:68].any() for month in truth.values())  # Over tile edges.
    path = owners / "train" / TRAIN / "images_masked"
    with rasterio.open(next(path.iterdir())) as source:
        assert (source.count, source.crs.to_epsg()) == (4, 3857)
        longitude, latitude = source.lnglat()
        assert source.res[0] == pytest.approx(4.7773, abs=1e-4)
    assert (round(longitude), round(latitude)) == (-122, 38)  # California.
    label = json.loads(next((owners / "train" / TRAIN / "labels").iterdir()).read_text())
    assert label["crs"]["properties"]["name"].endswith("CRS84")


def test_cloudy_months_are_left_out_for_segmentation(owners, truth, tmp_path):
    manifest, splits = built(owners, tmp_path)
    names = {tuple(name.split("/")) for scenes in splits.values() for name in scenes}
    assert names == {key for key, month in truth.items() if month.cloud is None}
    assert manifest["options"]["months"] == "cloud_free"
    assert "4 months (12 files) are left out by the options" in manifest["notes"]


@pytest.mark.parametrize(
    ("months", "dates"),
    [
        ("last", ["2019_04"]),
        ("every:2", ["2018_11", "2019_01"]),
        ("every:3", ["2018_11", "2019_04"]),
    ],
)
def test_choices_of_months(owners, tmp_path, months, dates):
    _, splits = built(owners, tmp_path, f"--months={months}")
    assert sorted(splits["test"]) == [f"{TEST}/{date}" for date in dates]


D = ("2018_11", "2018_12", "2019_01", "2019_04")

PAIRS = {
    (): [(0, 1), (1, 2), (2, 3)],
    ("--pairing=first_last",): [(0, 3)],
    ("--pairing=gap", "--min_gap_days=31"): [(0, 2), (1, 2), (2, 3)],
    ("--pairing=gap", "--min_gap_days=30"): [(0, 1), (1, 2), (2, 3)],
    ("--pairing=gap", "--min_gap_days=90"): [(0, 3), (1, 3), (2, 3)],
    ("--pairing=consecutive", "--months=every:2"): [(0, 2)],
    ("--change=new",): [(0, 1), (1, 2), (2, 3)],
}


@pytest.mark.parametrize("chosen", PAIRS)
def test_pairs(owners, truth, tmp_path, chosen):
    change = "new" if "--change=new" in chosen else "xor"
    manifest, splits = built(owners, tmp_path, "--task=cd", *chosen)
    wanted = [(D[i], D[j]) for i, j in PAIRS[chosen]]
    for split, areas in {"train": (TRAIN, SMALL), "val": (VAL,), "test": (TEST,)}.items():
        names = {
            f"{area}/{pre}-{post}": (area, pre, post) for area in areas for pre, post in wanted
        }
        assert splits[split].keys() == names.keys()
        for name, (area, pre, post) in names.items():
            before, after = truth[area, pre], truth[area, post]
            mask = splits[split][name]["mask"][..., 0]
            np.testing.assert_array_equal(mask, expected_mask(before, after, change=change))
            for role, month in (("pre", before), ("post", after)):
                shown = np.ones(month.mask.shape[:2], bool) if month.cloud is None else ~month.cloud
                image = splits[split][name][role][: month.mask.shape[0], :SIZE]
                np.testing.assert_array_equal(image[shown], month.image[shown])
    assert manifest["options"]["change"] == change
    if change == "new":
        assert run(owners, tmp_path / "data", "--task=cd") == 2  # Another dataset.


def test_layout_of_the_authors(owners, truth, tmp_path):
    source = tmp_path / "authors"
    source.mkdir()
    miniature.write_authors(source, seed=SEED, size=SIZE)
    manifest, splits = built(source, tmp_path)
    names = {tuple(name.split("/")) for scenes in splits.values() for name in scenes}
    assert names == {key for key, month in truth.items() if month.cloud is None}
    for scenes in splits.values():
        for name, scene in scenes.items():
            check_month(scene, truth[tuple(name.split("/"))])
    assert manifest["layout"].startswith("the layout of the paper's authors")
    assert manifest["found"] == 2 * 12 + 1
    assert "metadata_train.json" in manifest["files"]
    # Change detection is the same from either layout, records and all.
    _, ours = built(owners, tmp_path / "a", "--task=cd")
    _, theirs = built(source / "train", tmp_path / "b", "--task=cd")
    for split in ours:
        assert ours[split].keys() == theirs[split].keys()
        for name, scene in ours[split].items():
            for feature, array in scene.items():
                np.testing.assert_array_equal(array, theirs[split][name][feature])


def test_metadata_of_the_authors(tmp_path, capsys):
    miniature.write_authors(tmp_path, seed=SEED, size=SIZE)
    path = tmp_path / "metadata_train.json"
    metadata = json.loads(path.read_text())
    metadata[TEST][0]["label"] = False
    del metadata[TRAIN][3]
    path.write_text(json.dumps(metadata))
    assert run(tmp_path, tmp_path / "data", "--months=all") == 2
    assert "belongs to a month that metadata_train.json does not list" in capsys.readouterr().err
    manifest, splits = built(tmp_path, tmp_path, "--months=all", "--on_error=skip")
    assert f"{TEST}/2018_11" not in splits["test"]
    assert f"{TRAIN}/2019_04" not in splits["train"]
    assert len(manifest["rejected"]) == 2
    path.write_text("[1, 2]")
    assert run(tmp_path, tmp_path / "data", name="b") == 2
    assert "does not hold a list of {year, month, mask, label}" in capsys.readouterr().err
    path.unlink()
    assert run(tmp_path, tmp_path / "data", name="b") == 2
    assert "which months are cloudy; --months=all" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "data", "--months=all", name="b") == 0


def test_split_of_the_paper():
    split_of = paper_split()
    counts = {s: list(split_of.values()).count(s) for s in ("train", "val", "test", "unused")}
    assert counts == {"train": 30, "val": 15, "test": 14, "unused": 1}
    assert len(split_of) == 60  # No area is in two.
    tiles = {tuple(area.split("_")[1:3]) for area in split_of}
    assert len(tiles) == 60  # Nor is any ground.


def test_split_by_seed(owners, tmp_path):
    seen = set()
    for seed in (0, 1, 2, 3):
        options = ("--split=seeded", f"--seed={seed}", "--months=last")
        manifest, splits = built(owners, tmp_path / str(seed), *options)
        areas = {s: {name.split("/")[0] for name in scenes} for s, scenes in splits.items()}
        assert sorted(len(names) for names in areas.values()) == [1, 1, 2]
        assert set.union(*areas.values()) == {TRAIN, VAL, SMALL, TEST}
        assert f"seed {seed}" in manifest["split_rule"]
        seen.add(tuple(sorted(areas["test"])))
    assert len(seen) > 1


def test_areas_outside_of_the_paper(copy, tmp_path, capsys):
    unused = next(area for area, split in paper_split().items() if split == "unused")
    for name in (unused, "L15-0001E-0001N_0001_0001_13"):
        shutil.copytree(copy / "train" / TEST, copy / "train" / name)
        for path in list((copy / "train" / name).rglob("*.*")):
            path.rename(path.with_name(path.name.replace(TEST, name)))
    assert run(copy, tmp_path / "data", "--months=last") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "1 area(s) are not in the paper's split (L15-0001E-0001N_0001_0001_13)" in error
    shutil.rmtree(copy / "train" / "L15-0001E-0001N_0001_0001_13")
    manifest, splits = built(copy, tmp_path, "--months=last")
    assert f"the paper's split leaves out the area {unused}" in manifest["notes"]
    assert all(unused not in name for scenes in splits.values() for name in scenes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pairing=gap",), "--pairing is for --task=cd"),
        (("--change=new",), "--change is for --task=cd"),
        (("--task=cd", "--min_gap_days=3"), "--min_gap_days is for --pairing=gap"),
        (("--splits=0.5,0.3,0.2",), "--splits is for --split=seeded"),
        (("--months=every:0",), "is not cloud_free, all, last or every:N"),
        (("--months=some",), "is not cloud_free, all, last or every:N"),
        (("--task=ss", "--min_gap_days=3"), "--min_gap_days is for --task=cd"),
        (("--labels=labels_raster",), "no area has labels in labels_raster"),
        (("--task=cd", "--pairing=gap", "--min_gap_days=900"), "no area has the months asked for"),
    ],
)
def test_wrong_options(owners, tmp_path, capsys, options, words):
    assert run(owners, tmp_path / "data", *options) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_wrong_sources(tmp_path, capsys):
    assert run(tmp_path / "none", tmp_path / "data") == 2
    assert "not found" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "data") == 2
    assert "no area folder with images_masked" in capsys.readouterr().err


def test_train_folder_itself_and_workers(owners, tmp_path):
    options = ("--task=cd", "--pairing=first_last")
    first, _ = built(owners, tmp_path / "a", *options)
    second, _ = built(owners / "train", tmp_path / "b", *options, "--num_workers=2")
    assert first["shards"] == second["shards"]


def test_defaults_are_documented(capsys):
    with pytest.raises(SystemExit):
        main(["spacenet7", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "default consecutive",
        "default 180",
        "default xor",
        "default ss",
        "0.5,0.25,0.25",
    ):
        assert words in text
    assert spacenet7.__doc__.splitlines()[0] in text


def test_size_of_the_owner(tmp_path):
    miniature.write(tmp_path, seed=0, size=SIZE)
    grid = read_grid(image_of(tmp_path, SMALL))
    assert (grid.height, grid.width) == (SIZE - 1, SIZE)
