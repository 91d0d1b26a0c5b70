"""What each builder knows of places, on miniatures in their owners' layouts."""

import itertools
import shutil

import rasterio
import spacenet7_builds
import whu_builds
import xview2_builds
from rasterio.crs import CRS

from data_prep.builders.spacenet7_layout import paper_split
from data_prep.imagery.grid import Grid
from data_prep.miniatures import spacenet7 as spacenet7_miniature
from data_prep.miniatures import whu as whu_miniature
from data_prep.reading import georeference


def places_of(manifest):
    return {split: set(entry["places"]) for split, entry in manifest["splits"].items()}


def shared(manifest):
    return [note for note in manifest["notes"] if "in more than one split" in note]


def test_an_area_of_spacenet7_is_a_place_whatever_its_dates(tmp_path):
    source = spacenet7_builds.written(tmp_path / "source")
    manifest, _ = spacenet7_builds.built(source, tmp_path)
    assert manifest["places_known"]
    for entry in manifest["splits"].values():
        assert entry["places"] == [scene.split("/")[0] for scene in entry["scenes"]]
        assert entry["num_scenes"] > entry["num_places"]
    assert not shared(manifest)


def test_areas_of_spacenet7_that_touch_are_one_place(tmp_path):
    """TRAIN is moved beside TEST: the paper's split divides it, a seeded one does not."""
    source = spacenet7_builds.written(tmp_path / "source")
    train, test = spacenet7_builds.TRAIN, spacenet7_builds.TEST
    beside = rasterio.Affine.translation(spacenet7_builds.SIZE, 0)
    for path in (source / "train" / train).rglob("*.tif"):
        with rasterio.open(path, "r+") as raster:
            raster.transform = spacenet7_miniature.origin(test) * beside
    manifest, _ = spacenet7_builds.built(source, tmp_path)
    assert shared(manifest)[0].startswith("1 place lies in more than one split (")
    first = min(train, test)
    assert first in places_of(manifest)["train"] & places_of(manifest)["test"]
    for seed in range(4):
        options = ("--split=seeded", f"--seed={seed}", "--splits=0.5,0.25,0.25", "--overwrite")
        manifest, _ = spacenet7_builds.built(source, tmp_path, *options)
        of_split = {
            scene.split("/")[0]: split
            for split, entry in manifest["splits"].items()
            for scene in entry["scenes"]
        }
        assert of_split[train] == of_split[test]
        assert not shared(manifest)


def test_areas_of_the_papers_split_that_meet_at_a_corner():
    """As the names of their tiles say: one pair is divided between train and validation."""
    areas = sorted(paper_split())
    mercator = CRS.from_epsg(3857)
    grids = [Grid(1024, 1024, spacenet7_miniature.origin(area), mercator) for area in areas]
    meeting = {(areas[i], areas[j]) for i, j in georeference.touching(grids)}
    assert meeting == {
        ("L15-1669E-1160N_6678_3548_13", "L15-1669E-1160N_6679_3549_13"),
        ("L15-1690E-1211N_6763_3346_13", "L15-1691E-1211N_6764_3347_13"),
    }
    splits = {tuple(paper_split()[area] for area in pair) for pair in meeting}
    assert splits == {("val", "train"), ("test", "test")}


def test_a_disaster_is_a_place_and_is_divided_only_where_it_is_alone(tmp_path):
    owner = xview2_builds.write_layouts(tmp_path) / "owner"
    manifest, _ = xview2_builds.build(owner, tmp_path, "--disasters=all")
    assert set.union(*places_of(manifest).values()) == {
        "santa-rosa-wildfire",
        "hurricane-harvey",
    }
    assert shared(manifest)[0].startswith("2 places lie in more than one split")
    for folder in ("hold", "test"):
        shutil.rmtree(owner / folder)
    two = ("--disasters=all", "--splits=0.5,0,0.5")
    manifest, _ = xview2_builds.build(owner, tmp_path, *two)
    assert "by place, 50 % train" in manifest["split_rule"]
    assert not shared(manifest)
    for entry in manifest["splits"].values():
        assert set(entry["places"]) == {scene.rsplit("_", 1)[0] for scene in entry["scenes"]}
    manifest, _ = xview2_builds.build(owner, tmp_path, "--splits=0.5,0.2,0.3")
    assert "by pair, as there are fewer places than splits" in manifest["split_rule"]
    assert shared(manifest)


def test_the_mosaics_and_crops_of_whu_show_one_place(tmp_path):
    source = whu_builds.written(tmp_path / "source")
    mosaics = source / "Building change detection dataset"
    assert whu_builds.run(mosaics, tmp_path) == 0
    manifest, records = whu_builds.load(tmp_path)
    assert manifest["places_known"]
    assert set(itertools.chain(*places_of(manifest).values())) == {"christchurch"}
    assert shared(manifest)
    assert all(r["place"] == b"christchurch" for of in records.values() for r in of.values())


def test_tiles_of_whu_are_divided_by_the_place_in_their_names(tmp_path):
    """Their val is cut from train; without names each tile is a place that nobody knows."""
    source = whu_builds.written(tmp_path / "source") / whu_miniature.AUTHORS_TILES
    for path in (source / "train").rglob("*.*"):
        place = int("".join(filter(str.isdigit, path.stem))) % 4
        path.rename(path.with_stem(f"site{place}_{path.stem}"))
    options = ("--resize=0", "--splits=0.5,0.5,0")
    assert whu_builds.run(source, tmp_path, *options, "--name=a", task="ss") == 0
    manifest, _ = whu_builds.load(tmp_path, "a")
    assert not manifest["places_known"]
    named = (*options, "--group_regex=(site.)", "--name=b")
    assert whu_builds.run(source, tmp_path, *named, task="ss") == 0
    manifest, _ = whu_builds.load(tmp_path, "b")
    assert "2 of 4 train places became val" in manifest["split_rule"]
    assert not shared(manifest)
    for split in ("train", "val"):
        entry = manifest["splits"][split]
        assert entry["places"] == [scene.split("_")[0] for scene in entry["scenes"]]
        assert entry["num_places"] == 2
    assert "gives no place to 3 of 11 scenes" in manifest["notes"][-1]
