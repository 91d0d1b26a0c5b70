"""`data_prep xview2` on damaged files: each is listed with its reason, the others are built."""

import pathlib
import shutil
import zlib

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from xview2_builds import SIZE, build, cut, edit, refuse, resave

from data_prep.builders import xbd_labels
from data_prep.imagery.bands import ReadError
from data_prep.miniatures import xview2 as miniature

NAME = "hurricane-harvey_00000001"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniature")
    miniature.write(folder, seed=0, size=SIZE)
    return folder


@pytest.fixture
def owner(original, tmp_path):
    return pathlib.Path(shutil.copytree(original, tmp_path / "owner"))


def huge(path):
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    path.write_bytes(data)


def write_text(text):
    return lambda path: path.write_text(text)


def with_wkt(wkt):
    def change(label):
        label["features"]["xy"][0]["wkt"] = wkt

    return lambda path: edit(path, change)


def with_entry(*keys, value):
    def change(label):
        place = label
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return lambda path: edit(path, change)


def everything_far_away(path):
    def change(label):
        for one, other in zip(*label["features"].values(), strict=True):
            other["wkt"] = one["wkt"]  # Longitude and latitude.

    edit(path, change)


CROSSED = np.random.default_rng(0).uniform(0, SIZE, (600, 2)).round(3)
PROPERTIES = ("features", "xy", 0, "properties")
DAMAGE = [
    ("post.png", cut, "cannot be read ("),
    ("pre.png", huge, "cannot be read (Image size (3600000000 pixels)"),
    ("pre.png", lambda path: path.write_bytes(b""), "is empty"),
    ("pre.png", lambda path: path.write_bytes(b"GIF89a" + bytes(40)), "cannot be read"),
    ("post.png", resave(lambda p: p.convert("L")), "has 1 band(s) of uint8; expected three"),
    ("post.png", resave(lambda p: p.resize((32, 32))), "has 32 x 32 pixels, but hurricane"),
    ("post.png", lambda path: path.unlink(), "has no post image"),
    ("post.json", lambda path: path.unlink(), "has no label"),
    ("pre.png", lambda path: path.rename(path.with_name("x.png")), "is not named DISASTER_ID_pre"),
    ("post.json", cut, "is no JSON"),
    ("post.json", write_text(""), "is no JSON"),
    ("post.json", write_text("[" * 100_000), "is no JSON"),
    ("post.json", write_text("[]"), "is no xBD label: metadata"),
    ("post.json", write_text("{}"), "is no xBD label: features"),
    ("post.json", with_entry("features", value=[1]), "features is missing or no dict"),
    ("post.json", with_entry("features", "xy", value={"a": 1}), "xy is missing or no list"),
    ("post.json", with_entry("features", "xy", 0, value="POLYGON"), "wkt is missing or no str"),
    ("post.json", with_entry(*PROPERTIES, value=[]), "properties is missing or no dict"),
    ("post.json", with_entry(*PROPERTIES, "subtype", value=3), "subtype is '3', not one of no-"),
    ("post.json", with_entry(*PROPERTIES, "subtype", value="gone"), "subtype is 'gone'"),
    ("post.json", with_entry(*PROPERTIES, "feature_type", value="smoke"), "is 'smoke'; expected"),
    ("post.json", with_entry("metadata", "width", value=1024), "width 1024, but its image has 64"),
    ("post.json", with_wkt(7), "wkt is missing or no str"),
    ("post.json", with_wkt("POLYGON ((1 2, 3"), "is no WKT (ParseException"),
    ("post.json", with_wkt("\ud800"), "is no WKT"),
    ("post.json", with_wkt("POLYGON ((0 0, 9 0, 9 9))"), "closed linestring"),
    ("post.json", with_wkt("POINT (3 4)"), "is a Point; expected a polygon"),
    ("post.json", with_wkt("POLYGON ((0 0, 1e999 0, 9 9, 0 0))"), "not numbers below"),
    ("post.json", with_wkt("POLYGON ((0 0, 1e30 0, 9 9, 0 0))"), "not numbers below"),
    ("post.json", with_wkt(shapely.Polygon(CROSSED).wkt), "has an invalid polygon of 601 corners"),
    ("post.json", everything_far_away, "outside the image of 64 x 64 pixels"),
]


@pytest.mark.parametrize(("which", "damage", "reason"), DAMAGE)
def test_damage_is_listed_and_does_not_spread(owner, tmp_path, capsys, which, damage, reason):
    date, suffix = which.split(".")
    folder = "images" if suffix == "png" else "labels"
    options = ("--target=damage", "--disasters=hurricane-harvey")
    damage(owner / "train" / folder / f"{NAME}_{date}_disaster.{suffix}")
    lines = refuse(owner, tmp_path, capsys, *options)
    assert reason in "\n".join(lines)
    manifest, records = build(owner, tmp_path, *options, "--on_error=skip")
    assert len(records) == 3
    assert not any(NAME in key for key in records)
    listed = {entry["path"]: entry["reason"] for entry in manifest["rejected"]}
    assert any(reason in text for text in listed.values())
    assert all(NAME in path or path.endswith("x.png") for path in listed)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_label_is_read_or_refused(original, tmp_path_factory, data):
    source = original / f"train/labels/{NAME}_post_disaster.json"
    text = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
        if kind == "flip" and start < len(text):
            text[start] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del text[start : start + data.draw(st.integers(1, 300))]
        elif kind == "insert":
            text[start:start] = data.draw(st.binary(max_size=20))
        else:
            text[start:start] = text[start : start + data.draw(st.integers(1, 300))]
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(text)
    try:
        label = xbd_labels.read(path, SIZE, SIZE, with_damage=True)
    except ReadError:
        return
    drawn = xbd_labels.draw(label.footprints, SIZE, SIZE, 1.0)
    assert set(np.unique(drawn)) <= {0, 1, 2, 3, 4, 255}
