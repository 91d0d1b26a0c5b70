"""Places: scenes that touch or are named alike are one, and no split divides one."""

import itertools

import pytest
from folder_builds import GRID, error, load, picture, run, save, square
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS

from data_prep.basics.errors import UserError
from data_prep.imagery.grid import Grid
from data_prep.reading import places
from data_prep.reading.place_names import PlaceNames, by_pattern
from data_prep.reading.places import Evidence
from data_prep.shards import splits

UTM = CRS.from_epsg(32616)


def grid(x, y, size=10):
    return Grid(size, size, Affine(1, 0, 500_000 + x, 0, -1, 5_000_000 - y), UTM)


def chains(keys, is_one):
    """What a chain of `is_one` leads to, from each key: by looking until nothing is new."""
    found = {}
    for key in keys:
        reached = {key}
        while new := {b for a in reached for b in keys if is_one(a, b)} - reached:
            reached |= new
        found[key] = frozenset(reached)
    return found


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["", "", "a", "b"])),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_places_are_what_chains_of_scenes_reach(drawn, seed):
    """Squares of 10 on a lattice of 6: neighbours on the lattice overlap, the next lie 2 apart."""
    evidence = {
        i: Evidence(f"{group}{i}", f"ground{i}", (grid(6 * x, 6 * y),) if i % 3 else ())
        for i, (x, y, group) in enumerate(drawn)
    }

    def is_one(i, j):
        (x, y, group), (u, v, other) = drawn[i], drawn[j]
        touch = bool(i % 3 and j % 3) and max(abs(x - u), abs(y - v)) <= 1
        return i == j or touch or (group == other != "")

    has_groups = any(group for *_, group in drawn)
    found = places.find(evidence, named=by_pattern("^([ab])") if has_groups else None)
    expected = chains(range(len(drawn)), is_one)
    for i, j in itertools.combinations(range(len(drawn)), 2):
        assert (found.of[i] == found.of[j]) == (expected[i] == expected[j])
    number = len(set(found.of.values()))
    if number >= 3:
        split_of = splits.assign(found.of.values(), (0.5, 0.25, 0.25), seed)
        of_scene = {i: split_of[place] for i, place in found.of.items()}
        assert all(len({of_scene[j] for j in expected[i]}) == 1 for i in of_scene)


def test_a_place_is_named_by_its_group_else_by_its_first_scene():
    evidence = {
        "1": Evidence("austin_1", "1"),
        "2": Evidence("austin_2", "2", (grid(0, 0),)),
        "3": Evidence("z", "3", (grid(10, 0),)),
        "5": Evidence("y", "5", (grid(100, 0),)),
        "4": Evidence("x", "4", (grid(110, 0),)),
    }
    found = places.find(evidence, named=by_pattern(r"(.+)_\d"))
    assert found.of == {"1": "austin", "2": "austin", "3": "austin", "5": "4", "4": "4"}
    assert found.known
    assert found.notes == (
        r"--group_regex=(.+)_\d gives no place to 3 of 5 scenes: each of these is a place of its"
        " own unless it touches another scene",
    )


def test_a_scene_that_is_called_as_a_place_is_no_part_of_it():
    """And a scene's own name is no group: `a` lies in `b`, and of `b` nothing is said."""
    lies_in = {"a": "b", "c": "b", "d": "e", "'b'": "f"}
    named = PlaceNames("--places=t.csv", "", lambda name: lies_in.get(name, ""))
    evidence = {name: Evidence(name, name) for name in ("a", "b", "c", "d", "e", "'b'", "'e'")}
    found = places.find(evidence, named=named)
    assert found.of == {
        "a": "b",
        "b": "'b'",
        "c": "b",
        "d": "e",
        "e": "'e'",
        "'b'": "f",
        "'e'": "''e''",
    }


def test_what_is_known_is_said():
    loose = {i: Evidence(str(i), str(i)) for i in range(3)}
    placed = {i: Evidence(str(i), str(i), (grid(100 * i, 0),)) for i in range(3)}
    unknown, mixed = places.find(loose), places.find(placed | {3: loose[0]})
    assert (unknown.known, mixed.known, places.find(placed).known) == (False, False, True)
    assert "3 of 3 scenes have no georeference and count as places of" in unknown.notes[0]
    assert unknown.notes[0].endswith(
        "; --group_regex=PATTERN or --places=FILE.csv says which scenes belong together"
    )
    assert "1 of 4 scenes" in mixed.notes[0]
    assert unknown.rule == "places are not known: each scene counts as a place of its own"
    assert places.find(placed).rule == "scenes whose footprints touch are one place"
    assert places.find(loose, rule="an area is one place").known
    assert "--group_regex" not in places.find(loose, can_be_named=False).notes[0]


def test_what_a_pattern_leaves_open_is_said():
    evidence = {i: Evidence(name, name) for i, name in enumerate(("a_1", "b"))}
    note = places.find(evidence, named=by_pattern(r"(.+)_\d$")).notes[0]
    assert "1 of 2 scenes have no georeference and no place by their name and count" in note


def test_places_are_known_only_where_each_scene_is_placed():
    evidence = {i: places.Evidence(name, f"scene{i}") for i, name in enumerate(("a_1", "a_2", "b"))}
    found = places.find(evidence, named=by_pattern(r"(.+)_\d$"))
    assert not found.known
    assert found.of[0] == found.of[1] == "a"
    found = places.find({0: evidence[0], 1: evidence[1]}, named=by_pattern(r"(.+)_\d$"))
    assert found.known


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(UserError, match=r"gives a place to none of 1 scenes, such as town_1"):
        places.find({0: Evidence("town_1", "town_1")}, named=by_pattern("city(.)"))


def test_places_in_several_splits_are_named():
    entries = {
        "train": {"places": [*"aabcde"]},
        "test": {"places": [*"edcba"]},
        "val": {"places": ["a", "f"]},
    }
    assert places.shared(entries).startswith(
        "5 places lie in more than one split (a in train, val, test; b in train, test; c in train,"
        " test; ...): scores there say nothing"
    )
    three = {split: {"places": [*"abc"]} for split in ("train", "test")}
    assert "c in train, test): scores" in places.shared(three)
    one = {split: {"places": ["a"]} for split in ("train", "test")}
    assert places.shared(one).startswith("1 place lies in more than one split (a in train, test)")
    assert places.shared({"train": {"places": ["a"]}, "test": {"places": ["b"]}}) is None


def crops(folder, suffix, site_of):
    """Eight sites of four crops each; of GeoTIFFs those of one site touch, in a row."""
    for site, crop in itertools.product(range(8), range(4)):
        far = Affine.translation(1000 * site + 16 * crop, 0)
        there = GRID | {"transform": far * GRID["transform"]}
        name = site_of(site, crop)
        save(folder / f"image/{name}{suffix}", picture(4 * site + crop, 32, 32), there)
        save(folder / f"mask/{name}.png", square(32, 32))
    return folder


@pytest.mark.parametrize("how", ["georeference", "regex", "table", "nothing"])
def test_sites_are_not_divided(tmp_path, capsys, how):
    suffix = ".tif" if how == "georeference" else ".png"
    names = {c: f"site{c[0]}_{c[1]}" for c in itertools.product(range(8), range(4))}
    source = crops(tmp_path / "sites", suffix, lambda *c: names[c])
    table = tmp_path / "places.csv"
    table.write_text(
        "scene,place\n" + "".join(f"{n}.png,{n.split('_')[0]}\n" for n in names.values())
    )
    options = {"regex": ["--group_regex=(site[0-9]+)_"], "table": [f"--places={table}"]}.get(
        how, []
    )
    assert run(source, *options) == 0
    output = capsys.readouterr().out
    manifest, data = load(source, "sites")
    entries = manifest["splits"]
    found = [set(entry["places"]) for entry in entries.values()]
    assert not set.intersection(*found)
    assert sum(map(len, found)) == (32 if how == "nothing" else 8)
    assert manifest["places_known"] == (how != "nothing")
    assert ("warning: places are not known: 32 of 32 scenes" in output) == (how == "nothing")
    for split, entry in entries.items():
        sites = [scene.partition("_")[0] for scene in entry["scenes"]]
        assert entry["num_places"] == len(set(entry["places"]))
        if how != "nothing":
            assert entry["num_scenes"] == 4 * entry["num_places"]
            assert len(set(zip(sites, entry["places"], strict=True))) == entry["num_places"]
        place_of = dict(zip(entry["scenes"], entry["places"], strict=True))
        for record in data[split]:
            scene = record["id"].decode().split("/")[1]
            assert record["place"].decode() == place_of[scene]
        assert entry["scene_records"] == [1] * entry["num_scenes"]
    if how == "regex":
        assert manifest["options"]["group_regex"] == "(site[0-9]+)_"
        assert run(source) == 2  # Other places than those asked for.
    else:
        assert "group_regex" not in manifest["options"]
    assert manifest["options"].get("places") == ("places.csv" if how == "table" else None)


def test_folders_that_divide_a_place_are_told(tmp_path, capsys):
    every = itertools.product(("train", "test"), "ab", range(2))
    for index, (split, site, crop) in enumerate(every):
        name = f"{site}_{split}{crop}.png"
        save(tmp_path / f"own/{split}/image/{name}", picture(index, 32, 32))
        save(tmp_path / f"own/{split}/mask/{name}", square(32, 32))
    assert run(tmp_path / "own", "--group_regex=(.)_") == 0
    told = "2 places lie in more than one split (a in "
    assert f"warning: {told}" in capsys.readouterr().out
    manifest, _ = load(tmp_path / "own", "own")
    assert manifest["notes"][-1].startswith(told)
    val = manifest["splits"]["val"]
    assert (val["num_scenes"], val["num_places"]) == (2, 1)  # Cut from train by place.


@pytest.mark.parametrize("pattern", ["site", "("])
def test_a_pattern_without_a_group_is_an_error(tmp_path, capsys, pattern):
    assert run(tmp_path, f"--group_regex={pattern}") == 2
    assert "--group_regex" in error(capsys)[0]
