"""`data_prep xview2` on miniatures in both layouts: masks against the truth they are drawn from."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import shapely
from PIL import Image
from xview2_builds import (
    CLASS_OF_LEVEL,
    SIZE,
    WILDFIRE,
    build,
    drawn,
    edit,
    of_levels,
    refuse,
    resave,
    scenes,
    write_layouts,
)

from data_prep.__main__ import main
from data_prep.builders import xbd_labels
from data_prep.miniatures import xview2 as miniature


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The two layouts; tests copy them before they change anything."""
    return write_layouts(tmp_path_factory.mktemp("miniatures"))


@pytest.fixture(scope="module")
def pairs():
    return drawn()


@pytest.fixture
def owner(originals, tmp_path):
    return pathlib.Path(shutil.copytree(originals / "owner", tmp_path / "owner"))


def square(x0, y0, x1, y1):
    return f"POLYGON (({x0} {y0}, {x1} {y0}, {x1} {y1}, {x0} {y1}, {x0} {y0}))"


@pytest.mark.parametrize("target", CLASS_OF_LEVEL)
def test_masks_are_the_truth(originals, tmp_path, pairs, target):
    options = (f"--target={target}", "--disasters=all")
    manifest, records = build(originals / "owner", tmp_path, *options)
    assert len(records) == len(pairs) == 13
    images = ("image",) if target == "buildings" else ("pre", "post")
    seen = set()
    for pair in pairs.values():
        split = {"hold": "val"}.get(pair.split, pair.split)
        record = records[f"{split}/{pair.name}/r00000_c00000"]
        for name in images:
            truth = pair.post if name == "post" else pair.pre
            np.testing.assert_array_equal(record[name], truth)
        np.testing.assert_array_equal(record["mask"], of_levels(pair.levels, target))
        seen |= set(np.unique(record["mask"]).tolist())
    assert seen == set(CLASS_OF_LEVEL[target])
    assert manifest["task"] == ("ss" if target == "buildings" else "cd")
    assert manifest["layout"] == "{train,hold,test}/{images,labels} (the owner's layout)"
    assert manifest["disasters"] == ["hurricane-harvey", WILDFIRE]
    assert manifest["found"] == manifest["used"] == 13 * (len(images) + 1)
    assert len(manifest["classes"]) == max(v for v in seen if v < 255) + 1


@pytest.mark.parametrize("resize", [32, 16, 21, 128])
def test_a_resized_mask_has_the_value_under_each_pixel_centre(originals, tmp_path, pairs, resize):
    options = ("--target=damage_levels", f"--disasters={WILDFIRE}")
    sizes = {"resize": resize, "tile_size": resize}
    manifest, records = build(originals / "owner", tmp_path, *options, **sizes)
    assert len(records) == 9
    under = ((np.arange(resize) + 0.5) * SIZE / resize).astype(int)
    for key, record in records.items():
        pair = pairs[key.split("/")[1]]
        truth = pair.levels[np.ix_(under, under)]
        np.testing.assert_array_equal(record["mask"], of_levels(truth, "damage_levels"))
        # A building that stands undamaged is a class, but no change.
        damaged = (record["mask"] >= 2) & (record["mask"] != 255)
        assert record["has_change"] == damaged.any()
        if SIZE % resize == 0:
            step = SIZE // resize
            mean = pair.post.reshape(resize, step, resize, step, 3).mean((1, 3))
            assert np.abs(record["post"] - mean).max() <= 0.5 + 1e-6
    assert any("enlarged" in note for note in manifest["notes"]) == (resize > SIZE)


def test_whole_pixels_are_cut_into_tiles(originals, tmp_path, pairs):
    manifest, records = build(originals / "owner", tmp_path, resize=0, tile_size=48)
    assert len(records) == 9 * 4
    name = manifest["splits"]["test"]["scenes"][0]
    mask = np.full((96, 96, 1), 255, np.uint8)
    mask[:SIZE, :SIZE] = of_levels(pairs[name].levels, "buildings")
    for row in (0, 48):
        for column in (0, 48):
            record = records[f"test/{name}/r{row:05d}_c{column:05d}"]
            tile = mask[row : row + 48, column : column + 48]
            np.testing.assert_array_equal(record["mask"], tile)


def test_the_default_is_the_papers(originals, tmp_path):
    source, data_dir = originals / "owner", tmp_path / "shards"
    command = ["xview2", f"--source={source}", f"--data_dir={data_dir}", "--num_workers=1"]
    assert main(command) == 0
    manifest = json.loads((data_dir / "xview2_ss/1.0.0/manifest.json").read_text())
    assert manifest["tile_size"] == 256
    assert manifest["classes"] == ["background", "building"]
    every = [name for names in scenes(manifest).values() for name in names]
    assert len(every) == 9
    assert all(name.startswith(WILDFIRE) for name in every)
    assert "not used: 16 files of disasters that --disasters leaves out" in manifest["notes"]
    assert main([*command, "--target=damage"]) == 0
    assert (data_dir / "xview2_cd/1.0.0/manifest.json").exists()
    with pytest.raises(SystemExit):
        main([*command, "--help"])


def test_disasters_are_chosen_by_name(originals, tmp_path, capsys):
    manifest, _ = build(originals / "owner", tmp_path, "--disasters=hurricane-harvey")
    assert scenes(manifest) == {
        "train": ["hurricane-harvey_00000000", "hurricane-harvey_00000001"],
        "val": ["hurricane-harvey_00000002"],
        "test": ["hurricane-harvey_00000003"],
    }
    line = refuse(originals / "owner", tmp_path, capsys, "--disasters=joplin-tornado", "--name=y")
    assert line[0].startswith("--disasters=joplin-tornado: not in ")
    assert line[0].endswith(f"which holds hurricane-harvey, {WILDFIRE}")
    assert "all" in refuse(originals / "owner", tmp_path, capsys, "--disasters=all,a")[0]


def test_hold_is_val_and_tier3_is_train(owner, tmp_path):
    for folder in ("images", "labels"):
        (owner / "tier3" / folder).mkdir(parents=True)
        for path in (owner / "train" / folder).glob(f"{WILDFIRE}_00000001_*"):
            path.rename(owner / "tier3" / folder / path.name)
    (owner / "train" / "targets").mkdir()
    (owner / "train" / "targets" / f"{WILDFIRE}_00000000_pre_disaster_target.png").touch()
    manifest, _ = build(owner, tmp_path)
    assert {k: [name[-1] for name in v] for k, v in scenes(manifest).items()} == {
        "train": ["0", "1", "2", "3", "4"],
        "val": ["5", "6"],
        "test": ["7", "8"],
    }
    assert manifest["layout"].startswith("{tier3,train,hold,test}/{images,labels,targets}")
    assert any("1 files of targets" in note for note in manifest["notes"])


def test_val_is_cut_from_train_and_test_stays(owner, tmp_path):
    test = {f"{WILDFIRE}_00000007", f"{WILDFIRE}_00000008"}
    shutil.rmtree(owner / "hold")
    manifest, _ = build(owner, tmp_path)
    found = scenes(manifest)
    assert (len(found["train"]), len(found["val"])) == (4, 1)
    assert set(found["test"]) == test
    assert not set(found["train"]) & set(found["val"])
    assert "the source has no val: 1 of 5 train pairs became val" in manifest["split_rule"]
    chosen = {
        build(owner, tmp_path, f"--seed={seed}")[0]["splits"]["val"]["scenes"][0]
        for seed in range(3)
    }
    assert len(chosen) > 1
    shutil.rmtree(owner / "test")
    manifest, _ = build(owner, tmp_path, "--splits=0.4,0.2,0.4")
    assert [len(scenes(manifest)[split]) for split in ("train", "val", "test")] == [2, 1, 2]
    assert "the source has one split" in manifest["split_rule"]


def test_no_split_folders(owner, tmp_path, capsys):
    manifest, _ = build(owner / "train", tmp_path, "--splits=0.6,0.2,0.2")
    assert [len(names) for names in scenes(manifest).values()] == [3, 1, 1]
    assert manifest["layout"] == "{images,labels} (the owner's layout)"
    line = refuse(owner.parent, tmp_path, capsys, "--name=y")[0]
    assert "holds images or labels, but they are expected in SPLIT/images" in line
    for folder in ("images", "labels"):
        shutil.copytree(owner / "test" / folder, owner / folder)
    assert "lies in no split folder" in refuse(owner, tmp_path, capsys, "--name=y")[0]


def test_a_pair_in_two_splits_is_refused(owner, tmp_path, capsys):
    for folder in ("images", "labels"):
        for path in (owner / "train" / folder).glob(f"{WILDFIRE}_00000001_*"):
            shutil.copy(path, owner / "test" / folder)
    line = refuse(owner, tmp_path, capsys)[0]
    assert f"{WILDFIRE}_00000001 lies in" in line
    assert "train" in line
    assert "test" in line


def test_polygons_are_repaired_left_out_and_counted(owner, tmp_path):
    def change(label):
        def building(wkt, subtype="destroyed"):
            return {"properties": {"feature_type": "building", "subtype": subtype}, "wkt": wkt}

        label["features"]["xy"] = [
            building("POLYGON ((0 0, 20 20, 20 0, 0 20, 0 0))"),  # A bow tie.
            building("POLYGON ((30 30, 40 40, 35 35, 30 30))"),
            building(square(70, 70, 80, 80)),
            building(square(40, 0, 60, 20), "no-damage"),
            building(square(50, 0, 64.5, 10), "major-damage"),
            building(square(50, 0, 64, 20), "un-classified"),
            building(f"MULTI{square(0, 40, 8, 48)[:8]}({square(0, 40, 8, 48)[8:]})", "no-damage"),
        ]

    name = f"{WILDFIRE}_00000002"
    edit(owner / f"train/labels/{name}_post_disaster.json", change)
    manifest, records = build(owner, tmp_path, "--target=damage_levels")
    mask = records[f"train/{name}/r00000_c00000"]["mask"][..., 0]
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[(y < 20) & (x >= 50)] = 255
    expected[(y < 20) & (x >= 40) & (x < 60)] = 1
    expected[(y < 10) & (x >= 50)] = 3
    tie = (x < 20) & (y < 20) & (np.abs(y - 10) < np.abs(x - 10))
    on_edge = (np.abs(y - 10) == np.abs(x - 10)) & (x < 20) & (y < 20)
    expected[tie] = 4
    expected[(y > 40) & (y < 48) & (x < 8)] = 1
    np.testing.assert_array_equal(mask[~on_edge], expected[~on_edge])
    notes = "\n".join(manifest["notes"])
    assert "2 polygons crossed themselves and were repaired" in notes
    assert "1 polygons have no area and cover no pixel" in notes
    assert "1 polygons lie outside their image and are left out" in notes


def test_pixels_without_data_are_ignored(owner, tmp_path, pairs):
    name = f"{WILDFIRE}_00000002"
    pixels = np.dstack([pairs[name].post, np.full((SIZE, SIZE), 255, np.uint8)])
    pixels[:9, :, 3] = 0
    Image.fromarray(pixels).save(owner / f"train/images/{name}_post_disaster.png")
    _, records = build(owner, tmp_path, "--target=damage")
    expected = of_levels(pairs[name].levels, "damage")
    expected[:9] = 255
    record = records[f"train/{name}/r00000_c00000"]
    np.testing.assert_array_equal(record["mask"], expected)
    np.testing.assert_array_equal(record["post"], pairs[name].post)


def test_buildings_need_no_damage(owner, tmp_path):
    for path in owner.glob("*/labels/*_pre_disaster.json"):
        assert "subtype" not in path.read_text()
    (owner / f"train/images/{WILDFIRE}_00000002_post_disaster.png").unlink()
    manifest, records = build(owner, tmp_path)
    assert len(records) == 9
    assert (
        "not used: 8 post images that --target=buildings from labels leaves out"
        in (manifest["notes"])
    )


def test_wrong_options_are_one_line(originals, tmp_path, capsys):
    source = originals / "owner"
    line = refuse(source, tmp_path, capsys, resize=32, tile_size=64)[0]
    assert line.startswith("--resize=32 is below --tile_size=64")
    assert "not found" in refuse(tmp_path / "nowhere", tmp_path, capsys)[0]
    (tmp_path / "empty").mkdir()
    assert "no SPLIT/images/DISASTER_ID" in refuse(tmp_path / "empty", tmp_path, capsys)[0]


def test_resizing_takes_squares(owner, tmp_path, capsys):
    for path in (owner / "test/images").glob(f"{WILDFIRE}_00000007*"):
        resave(lambda picture: picture.resize((64, 48)))(path)
    lines = refuse(owner, tmp_path, capsys, resize=32, tile_size=32)
    assert len(lines) == 3
    assert lines[1].endswith("has 64 x 48 pixels; --resize=32 takes only squares, 0 any size")


def test_the_miniature_is_in_the_owners_form(originals, pairs):
    owner = originals / "owner"
    for pair in pairs.values():
        for date in ("pre", "post"):
            stem = f"{pair.name}_{date}_disaster"
            label = json.loads((owner / pair.split / "labels" / f"{stem}.json").read_text())
            assert label["metadata"]["img_name"] == f"{stem}.png"
            assert label["metadata"]["width"] == SIZE
            xy, on_earth = label["features"]["xy"], label["features"]["lng_lat"]
            assert len(xy) == len(on_earth) == len(pair.buildings) > 0
            has_subtype = {"subtype" in feature["properties"] for feature in xy}
            assert has_subtype == {date == "post"}
            x, _, _, y = shapely.from_wkt(on_earth[0]["wkt"]).bounds
            assert abs(x) > 90
            assert 20 < y < 50
    subtypes = {building.subtype for pair in pairs.values() for building in pair.buildings}
    assert subtypes == set(xbd_labels.LEVELS)
    again = {pair.name: pair for pair in miniature.draw(0, SIZE)}
    assert all((again[name].post == pair.post).all() for name, pair in pairs.items())
    mask = next((originals / "authors").glob("test/xBD/*/masks/*_pre_disaster.png"))
    values = np.array(Image.open(mask))
    assert values.shape == (SIZE, SIZE, 3)
    assert set(np.unique(values)) == {0, 255}
