"""`data_prep xview2` on miniatures in both layouts: masks against the truth they are drawn from."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import shapely
from PIL import Image
from xview2_builds import SIZE, build, cut, edit, refuse, resave

from data_prep.__main__ import main
from data_prep.builders import xbd_labels
from data_prep.miniatures import xview2 as miniature

WILDFIRE = "santa-rosa-wildfire"
FIXTURES = pathlib.Path(__file__).parents[2] / "shared/data/fixtures/xbd_samples"
CLASS_OF_LEVEL = {  # Levels 0 to 4, and un-classified.
    "buildings": (0, 1, 1, 1, 1, 1),
    "damage": (0, 0, 1, 1, 1, 255),
    "damage_levels": (0, 1, 2, 3, 4, 255),
}


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """The two layouts; tests copy them before they change anything."""
    folder = tmp_path_factory.mktemp("miniatures")
    for name, write in (("owner", miniature.write), ("authors", miniature.write_authors)):
        (folder / name).mkdir()
        write(folder / name, seed=0, size=SIZE)
    return folder


@pytest.fixture(scope="session")
def pairs():
    return {pair.name: pair for pair in miniature.draw(0, SIZE)}


@pytest.fixture
def owner(originals, tmp_path):
    return pathlib.Path(shutil.copytree(originals / "owner", tmp_path / "owner"))


@pytest.fixture
def authors(originals, tmp_path):
    return pathlib.Path(shutil.copytree(originals / "authors", tmp_path / "authors"))


def of_levels(levels, target):
    table = np.full(256, 99, np.uint8)
    table[[0, 1, 2, 3, 4, 255]] = CLASS_OF_LEVEL[target]
    return table[levels][..., None]


def scenes(manifest):
    return {split: entry["scenes"] for split, entry in manifest["splits"].items()}


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
    assert "not used: 16 files of disasters that are not asked for" in manifest["notes"]
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
    assert "there is no hold: 1 of 5 train pairs are val" in manifest["split_rule"]
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
    assert "images or labels lie here, where SPLIT/images" in line
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


def test_authors_layout(originals, tmp_path, pairs, capsys):
    source = originals / "authors"
    manifest, records = build(source, tmp_path)
    assert manifest["layout"] == (
        "{train,test}/xBD/DISASTER/{images,masks} (the layout of the paper's authors)"
    )
    assert manifest["mask_encoding"] == "binary255"
    assert [len(names) for names in scenes(manifest).values()] == [4, 1, 2]
    for key, record in records.items():
        pair = pairs[key.split("/")[1]]
        np.testing.assert_array_equal(record["image"], pair.pre)
        np.testing.assert_array_equal(record["mask"], of_levels(pair.levels, "buildings"))
    options = ("--target=damage", "--mask_values=change")
    manifest, records = build(source, tmp_path, *options, resize=16, tile_size=16)
    assert any("taken as change (--mask_values=change)" in note for note in manifest["notes"])
    for key, record in records.items():
        truth = pairs[key.split("/")[1]].levels[2::4, 2::4] > 0
        np.testing.assert_array_equal(record["mask"][..., 0], truth)
    line = refuse(source, tmp_path, capsys, "--target=damage_levels", "--name=y")[0]
    assert "the masks hold two values" in line
    line = refuse(source, tmp_path, capsys, "--truth=labels", "--name=y")[0]
    assert "no labels beside the images (found images, masks)" in line


@pytest.mark.parametrize("target", CLASS_OF_LEVEL)
def test_masks_of_levels(authors, tmp_path, pairs, target):
    for path in authors.glob("*/xBD/*/masks/*.png"):
        Image.fromarray(pairs[path.stem.removesuffix("_pre_disaster")].levels).save(path)
    manifest, records = build(authors, tmp_path, f"--target={target}")
    assert manifest["mask_encoding"] == "index"
    table = [*CLASS_OF_LEVEL[target][:5], 255]  # Of a raster's 255 no more is known.
    for key, record in records.items():
        levels = pairs[key.split("/")[1]].levels
        expected = np.array(table)[np.where(levels == 255, 5, levels)]
        np.testing.assert_array_equal(record["mask"][..., 0], expected)


def values_of_masks(authors, values):
    """Write masks of index values: 0 and then `values` in rows; return them."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for row, value in enumerate(values):
        mask[8 * row : 8 * row + 8] = value
    for path in authors.glob("*/xBD/*/masks/*.png"):
        Image.fromarray(mask).save(path)
    return mask


@pytest.mark.parametrize(
    ("values", "option", "expected"),
    [
        ((1,), "levels", [0]),  # Nothing was damaged: 1 is an intact building.
        ((1,), "change", [1]),
        ((1, 3), "levels", [0, 1]),
        ((1, 3), "auto", [0, 1]),
        ((255,), "change", [1]),
    ],
)
def test_what_the_values_of_masks_tell(authors, tmp_path, values, option, expected):
    mask = values_of_masks(authors, values)
    _, records = build(authors, tmp_path, "--target=damage", f"--mask_values={option}")
    wanted = np.zeros_like(mask)
    for value, number in zip(values, expected, strict=True):
        wanted[mask == value] = number
    for record in records.values():
        np.testing.assert_array_equal(record["mask"][..., 0], wanted)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ((1,), ["--target=damage"], "the masks hold 0 and 1 alone, which may mark all buildings"),
        ((255,), ["--target=damage"], "the masks hold 0 and 255 alone, which may mark"),
        (
            (255,),
            ["--target=damage", "--mask_values=levels"],
            "--mask_values=levels: the masks hold 0 and 255, not levels 0 to 4",
        ),
        (
            (1, 3),
            ["--target=damage_levels", "--mask_values=change"],
            "--mask_values=change: --target=damage_levels takes auto or levels",
        ),
        ((1,), ["--mask_values=levels"], "--target=buildings takes auto"),
        (
            (1, 3),
            ["--target=damage", "--mask_values=change"],
            "holds value(s) 3; the masks hold 0 to 1",
        ),
    ],
)
def test_what_masks_cannot_tell_is_refused(authors, tmp_path, capsys, values, options, message):
    values_of_masks(authors, values)
    lines = refuse(authors, tmp_path, capsys, *options)
    assert message in "\n".join(lines)
    assert len(lines) == 1 or "files cannot be used" in lines[0]


def test_masks_of_one_bit_cannot_tell_either(authors, tmp_path, capsys):
    for path in authors.glob("*/xBD/*/masks/*.png"):
        Image.open(path).convert("1").save(path)
    (line,) = refuse(authors, tmp_path, capsys, "--target=damage")
    assert "the masks hold one bit a pixel alone, which may mark" in line


def test_mask_values_are_not_for_labels(owner, tmp_path, capsys):
    options = ("--target=damage", "--mask_values=levels")
    (line,) = refuse(owner, tmp_path, capsys, *options)
    assert line == "--mask_values=levels is for masks, the source has labels"


def test_labels_come_before_masks(authors, originals, tmp_path, pairs):
    for split in ("train", "test"):
        labels = authors / split / "xBD" / WILDFIRE / "labels"
        labels.mkdir()
        for path in (originals / "owner" / split / "labels").glob(f"{WILDFIRE}*"):
            shutil.copy(path, labels)
    manifest, records = build(authors, tmp_path, "--target=damage")
    assert manifest["mask_encoding"] == "polygons"
    assert any("7 pre masks" in note for note in manifest["notes"])
    for key, record in records.items():
        levels = pairs[key.split("/")[1]].levels
        np.testing.assert_array_equal(record["mask"], of_levels(levels, "damage"))
    assert build(authors, tmp_path, "--truth=masks")[0]["mask_encoding"] == "binary255"


def test_an_image_without_mask_is_rejected_or_background(authors, tmp_path, capsys):
    mask = next((authors / "train").glob("xBD/*/masks/*.png"))
    mask.unlink()
    name = mask.stem.removesuffix("_pre_disaster")
    line = refuse(authors, tmp_path, capsys)[0]
    assert f"{name}_pre_disaster.png: {name} has no label or mask (--on_error=skip" in line
    manifest, _ = build(authors, tmp_path, "--on_error=skip")
    assert manifest["found"] == 13
    manifest, records = build(authors, tmp_path, "--no_mask=background")
    assert (manifest["found"], manifest["used"]) == (13, 13)
    record = next(record for key, record in records.items() if name in key)
    assert not record["mask"].any()
    assert "1 scenes have no mask file and were taken as background" in manifest["notes"]


def test_masks_of_wrong_values_and_sizes_are_rejected(authors, tmp_path, capsys):
    first, second, third = sorted((authors / "train").glob("xBD/*/masks/*.png"))[:3]
    resave(lambda picture: picture.resize((32, 32)))(first)
    cut(second)
    Image.fromarray(np.full((SIZE, SIZE), 7, np.uint8)).save(third)
    lines = refuse(authors, tmp_path, capsys, "--mask_encoding=index")
    assert lines[0].startswith("7 of 14 files") is False
    text = "\n".join(lines)
    assert "has 32 x 32 pixels" in text
    assert f"{second.name}: cannot be read" in text
    assert "holds value(s) 7; the masks hold 0 to 1 and 255" in text


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
    assert lines[1].endswith("has 64 x 48 pixels; --resize=32 takes squares, 0 any size")


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


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no real imagery at {FIXTURES}")
def test_real_images_and_damage_masks(tmp_path):
    source = tmp_path / "source"
    names = [f"hurricane-florence_{number:08d}" for number in (115, 475)]
    for split, name in zip(("train", "test"), names, strict=True):
        folder = source / split / "xBD/hurricane-florence"
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True)
        for date in ("pre", "post"):
            target = folder / "images" / f"{name}_{date}_disaster.png"
            original = FIXTURES / f"test_{date}_00123.png"
            if split == "train":  # Turned: the same image may not be in two splits.
                with Image.open(original) as picture:
                    picture.transpose(Image.Transpose.ROTATE_90).save(target)
            else:
                target.symlink_to(original)
        mask = FIXTURES / f"{name}_post_disaster.png"
        (folder / "masks" / f"{name}_pre_disaster.png").symlink_to(mask)
    (folder / "images" / "test_pre_00123.png").symlink_to(FIXTURES / "test_pre_00123.png")
    options = ("--disasters=all", "--target=damage_levels", "--splits=1,0,0")
    (source / "train").rename(source / "val")
    for resize in (0, 256):
        sizes = {"resize": resize, "tile_size": resize or 1024}
        manifest, records = build(source, tmp_path, *options, **sizes)
        assert manifest["mask_encoding"] == "index"
        assert any("1 images of the challenge's test set" in n for n in manifest["notes"])
        counts = manifest["splits"]["test"]["class_pixels"]
        with Image.open(FIXTURES / f"{names[1]}_post_disaster.png") as mask:
            values = np.array(mask)[2::4, 2::4] if resize else np.array(mask)
        assert counts == np.bincount(values.ravel(), minlength=5).tolist()
        assert counts[1] > 0
        assert counts[4] > 0
    with Image.open(FIXTURES / "test_post_00123.png") as picture:
        mean = np.array(picture).reshape(256, 4, 256, 4, 3).mean((1, 3))
    post = records[f"test/{names[1]}/r00000_c00000"]["post"]
    assert np.abs(post - mean).max() <= 0.5 + 1e-6
