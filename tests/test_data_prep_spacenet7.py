"""`data_prep spacenet7` on its miniature: masks against the drawn truth, options, damage."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import tensorflow_datasets as tfds

from data_prep.__main__ import main
from data_prep.builders import spacenet7
from data_prep.builders.spacenet7_layout import paper_split
from data_prep.geometry import read_grid
from data_prep.miniatures import spacenet7 as miniature

SIZE, SEED = 96, 3
TRAIN, VAL, SMALL, TEST = (area for _, area, _ in miniature.AREAS)


@pytest.fixture(scope="module")
def truth():
    return {(t.area, f"{t.date[0]}_{t.date[1]:02d}"): t for t in miniature.draw(SEED, SIZE)}


@pytest.fixture(scope="module")
def owners(tmp_path_factory):
    folder = tmp_path_factory.mktemp("owner") / "sn7"
    folder.mkdir()
    miniature.write(folder, seed=SEED, size=SIZE)
    return folder


@pytest.fixture
def copy(owners, tmp_path):
    """A copy of the owner's layout to be damaged."""
    shutil.copytree(owners, tmp_path / "sn7")
    return tmp_path / "sn7"


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
    return manifest, {split: _scenes(records) for split, records in data.items()}


def _scenes(records):
    """Put the tiles of each scene together again: 128 x 128, padding included."""
    scenes = {}
    for record in records:
        scene, _, place = record["id"].decode().partition("/")[2].rpartition("/")
        row, column = int(place[1:6]), int(place[8:13])
        for name in record.keys() - {"id", "has_change"}:
            shape = (128, 128, record[name].shape[-1])
            whole = scenes.setdefault(scene, {}).setdefault(name, np.full(shape, 77, np.uint8))
            whole[row : row + 64, column : column + 64] = record[name]
        tile = record["mask"]
        assert record.get("has_change", None) in (None, bool((tile == 1).any()))
    return scenes


def expected_mask(*months, change=None):
    """What the mask of a month, or of a pair, must be: 128 x 128 with padding."""
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
    assert any(f"are {reading}" in note for note in manifest["notes"])
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
    assert "4 months (12 files) are not asked for by the options" in manifest["notes"]


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
    assert "is of a month that metadata_train.json does not list" in capsys.readouterr().err
    manifest, splits = built(tmp_path, tmp_path, "--months=all", "--on_error=skip")
    assert f"{TEST}/2018_11" not in splits["test"]
    assert f"{TRAIN}/2019_04" not in splits["train"]
    assert len(manifest["rejected"]) == 2
    path.write_text("[1, 2]")
    assert run(tmp_path, tmp_path / "data", name="b") == 2
    assert "not a list of {year, month, mask, label}" in capsys.readouterr().err
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


def _rewrite(path, change):
    """Write a GeoTIFF anew with other bands or another profile."""
    with rasterio.open(path) as source:
        profile, bands = dict(source.profile), source.read()
    bands = change(profile, bands)
    profile |= {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    profile["dtype"] = bands.dtype.name
    with rasterio.open(path, "w", **profile) as target:
        target.write(bands)


def _image(source, area=TEST, date="2019_04"):
    return source / "train" / area / "images_masked" / f"global_monthly_{date}_mosaic_{area}.tif"


def _label(source, area=TEST, date="2019_04", folder="labels_match_pix"):
    name = f"global_monthly_{date}_mosaic_{area}_Buildings.geojson"
    return source / "train" / area / folder / name


def test_udm_alpha_and_no_data_alone_are_ignored(copy, truth, tmp_path):
    def without_alpha(profile, bands):
        profile.pop("photometric", None)
        profile["nodata"] = None
        return bands[:3]

    def with_nodata(profile, bands):
        bands[:3, :9, :7] = 200  # Alpha is 255 there.
        profile["nodata"] = 200
        return bands

    _rewrite(_image(copy, TRAIN, "2018_12"), without_alpha)  # Its UDM says where the cloud is.
    udm = copy / "train" / SMALL / "UDM_masks"
    assert len(list(udm.iterdir())) == 1
    cloudy = next(date for (a, date), t in truth.items() if a == SMALL and t.cloud is not None)
    shutil.rmtree(udm)  # Alpha says it.
    _rewrite(_image(copy, TEST, "2018_11"), with_nodata)
    _, splits = built(copy, tmp_path, "--months=all")
    for split, area, date in (("train", TRAIN, "2018_12"), ("train", SMALL, cloudy)):
        month = truth[area, date]
        assert month.cloud.sum() > 100
        mask = splits[split][f"{area}/{date}"]["mask"][..., 0]
        np.testing.assert_array_equal(mask, expected_mask(month))
    expected = expected_mask(truth[TEST, "2018_11"])
    values = truth[TEST, "2018_11"].image
    expected[: values.shape[0], :SIZE][(values == 200).all(-1)] = 255
    expected[:9, :7] = 255
    np.testing.assert_array_equal(splits["test"][f"{TEST}/2018_11"]["mask"][..., 0], expected)


def test_files_that_the_names_pass_over_are_listed(copy, tmp_path, capsys):
    """A cloudy month whose UDM is overlooked would be taken for a clear one."""
    udm = next((copy / "train").glob("*/UDM_masks/*_UDM.tif"))
    udm.rename(udm.with_suffix(".TIF"))
    area = copy / "train" / "L15-0368E-1245N_1474_3210_13"
    (area / "images").mkdir(parents=True)
    (area / "images" / "a.tif").write_bytes(b"")
    assert run(copy, tmp_path / "data") == 2
    said = capsys.readouterr().err
    assert f"{udm.with_suffix('.TIF').name}: does not end in _UDM.tif" in said
    assert "images/a.tif: lies in an area without a folder images_masked" in said


def test_months_of_different_size_are_cropped_to_the_common_grid(copy, truth, tmp_path):
    _rewrite(_image(copy, TEST, "2018_12"), lambda _, bands: bands[:, :, :-1])
    _, splits = built(copy, tmp_path, "--task=cd")
    months = truth[TEST, "2018_11"], truth[TEST, "2018_12"]
    expected = expected_mask(*months, change="xor")
    expected[:, SIZE - 1] = 255
    scene = splits["test"][f"{TEST}/2018_11-2018_12"]
    np.testing.assert_array_equal(scene["mask"][..., 0], expected)
    shown = slice(0, SIZE), slice(0, SIZE - 1)
    np.testing.assert_array_equal(scene["pre"][shown], months[0].image[shown])


def _moved(profile, bands):
    profile["transform"] = profile["transform"] @ rasterio.Affine.translation(3, 0)
    return bands


def _without_crs(profile, bands):
    profile["crs"] = None
    return bands


DAMAGE = {
    "cut": (lambda s: _image(s).write_bytes(_image(s).read_bytes()[:3000]), "cannot be read"),
    "head": (lambda s: _image(s).write_bytes(b"II*\0 nothing"), "cannot be read"),
    "empty": (lambda s: _image(s).write_bytes(b""), "cannot be read"),
    "no_crs": (lambda s: _rewrite(_image(s), _without_crs), "has no CRS"),
    "bands": (lambda s: _rewrite(_image(s), lambda p, b: b[:2]), "has 2 bands"),
    "uint16": (
        lambda s: _rewrite(_image(s), lambda p, b: b[:3].astype(np.uint16)),
        "bands of uint16",
    ),
    "moved": (lambda s: _rewrite(_image(s), _moved), "lies on another grid than"),
    "label_missing": (lambda s: _label(s).unlink(), "has no label of the same month"),
    "image_missing": (lambda s: _image(s).unlink(), "has no image of the same month"),
    "label_cut": (lambda s: _label(s).write_text('{"type": '), "is no JSON"),
    "label_of_another_area": (
        lambda s: shutil.copy(_label(s, TRAIN, folder="labels"), _label(s)),
        "none of which meets the image",
    ),
    "label_of_another_name": (
        lambda s: _label(s).rename(_label(s).with_name(_label(s, TRAIN).name)),
        "is named after the area",
    ),
    "image_name": (
        lambda s: _image(s).rename(_image(s).with_name("april.tif")),
        "is not named global_monthly",
    ),
    "udm": (
        lambda s: next((s / "train" / TEST / "UDM_masks").iterdir()).write_bytes(b"II*\0"),
        "cannot be read",
    ),
    "udm_moved": (
        lambda s: _rewrite(next((s / "train" / TEST / "UDM_masks").iterdir()), _moved),
        "lies on another grid than",
    ),
}


# A month alone may lie anywhere; of the others every second one is tried with each task.
TRIALS = [(name, ("ss", "cd")[number % 2]) for number, name in enumerate(DAMAGE)]
TRIALS = [(name, "cd" if name == "moved" else task) for name, task in TRIALS]


@pytest.mark.parametrize(("name", "task"), TRIALS)
def test_damage_is_listed(copy, truth, tmp_path, capsys, name, task):
    damage, reason = DAMAGE[name]
    damage(copy)
    options = (f"--task={task}", "--months=all")
    assert run(copy, tmp_path / "data", *options) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "data" / "made" / "1.0.0").exists()
    manifest, splits = built(copy, tmp_path, *options, "--on_error=skip")
    rejected = {entry["path"]: entry["reason"] for entry in manifest["rejected"]}
    assert any(reason in why for why in rejected.values())
    assert all(f"/{TEST}/" in path for path in rejected)
    lost = 4 - len(splits["test"]) if task == "ss" else 3 - len(splits["test"])
    assert lost in ((1,) if task == "ss" or "udm" not in name else (1, 2))
    used = set(manifest["files"])
    assert not used & rejected.keys()
    for split, scenes in splits.items():
        for scene_name, scene in scenes.items():
            area, _, dates = scene_name.partition("/")
            months = [truth[area, date] for date in dates.split("-")]
            change = "xor" if task == "cd" else None
            expected = expected_mask(*months, change=change)
            np.testing.assert_array_equal(scene["mask"][..., 0], expected, err_msg=split)


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
    assert "no folder of an area with images_masked" in capsys.readouterr().err


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
    grid = read_grid(_image(tmp_path, SMALL))
    assert (grid.height, grid.width) == (SIZE - 1, SIZE)
