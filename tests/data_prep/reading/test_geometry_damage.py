"""Damaged GeoJSON files: each has a reason, or gives a mask."""

import json

import numpy as np
import pytest
from footprint_files import (
    GRID,
    MERCATOR,
    WGS84,
    collection,
    draw,
    feature,
    georeferenced,
    read,
    square,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.imagery.bands import ReadError
from data_prep.reading import geojson
from data_prep.reading.geojson import read_geojson
from data_prep.reading.geometry import place, rasterise

GOOD = collection(feature(georeferenced(square(3, 4), WGS84)))


def _with_corner(value):
    content = json.loads(json.dumps(GOOD))
    content["features"][0]["geometry"]["coordinates"][0][2][0] = value
    return content


SCRIBBLE = np.random.default_rng(0).uniform(0, 40, (501, 2)).tolist()

DAMAGE = {
    "empty": ("", "is no JSON"),
    "cut": (json.dumps(GOOD)[:-30], "is no JSON"),
    "nested": ("[" * 100_000, "is no JSON"),
    "nested_coordinates": (
        json.dumps(GOOD).replace("[[[", "[" * 900, 1).replace("]]]", "]" * 900, 1),
        "no list of points",
    ),
    "list": ([1, 2], "no GeoJSON FeatureCollection"),
    "geometry": (feature(square(3, 4))["geometry"], "no GeoJSON FeatureCollection"),
    "no_features": ({"type": "FeatureCollection"}, "without a list of features"),
    "features": ({"type": "FeatureCollection", "features": "many"}, "without a list of features"),
    "feature": (collection(7), "feature 0 is no GeoJSON feature"),
    "point": (collection(feature(3.0, 4.0, kind="Point")), "feature 0 is a Point"),
    "kind": (collection(feature(square(3, 4), kind=["Polygon"])), r"feature 0 is a \['Polygon'\]"),
    "geometry_text": (collection({"type": "Feature", "geometry": "x"}), "feature 0 is a None"),
    "coordinates": (
        collection({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": 5}}),
        "without a list of rings",
    ),
    "multi": (
        collection({"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": 5}}),
        "without a list of polygons",
    ),
    "ring": (collection(feature("abc")), "no list of points"),
    "points": (collection(feature([1, 2, 3])), "no list of points"),
    "short_point": (collection(feature([[1], [2], [3]])), "no list of points"),
    "text_number": (_with_corner("12.5"), "a coordinate that is no number"),
    "bool": (_with_corner(True), "a coordinate that is no number"),
    "null": (_with_corner(None), "a coordinate that is no number"),
    "nan": (_with_corner(float("nan")), "is not finite"),
    "infinite": (json.dumps(_with_corner(77.0)).replace("77.0", "1e999"), "is not finite"),
    "huge": (json.dumps(_with_corner(77.0)).replace("77.0", "9" * 400), "too large for a float"),
    "digits": (json.dumps(_with_corner(77.0)).replace("77.0", "9" * 5000), "is no JSON"),
    "nowhere": (_with_corner(1e9), "nowhere in EPSG:4326"),
    "crs": (GOOD | {"crs": 3857}, "crs member without a name"),
    "crs_name": (GOOD | {"crs": {"properties": {"name": "EPSG:999999"}}}, "unknown CRS"),
    "crs_path": (GOOD | {"crs": {"properties": {"name": "/etc/hostname"}}}, "unknown CRS"),
    "scribble": (
        collection(feature(georeferenced(SCRIBBLE, MERCATOR)), crs="EPSG:3857"),
        "invalid polygon of 502 corners",
    ),
    "far_corner": (
        collection(
            feature(georeferenced([[3, 4], [9, 4], [9, 1e9], [3, 4]], MERCATOR)), crs="EPSG:3857"
        ),
        "pixels off the image",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_has_a_reason(tmp_path, name):
    content, reason = DAMAGE[name]
    with pytest.raises(ReadError, match=reason):
        draw(tmp_path, content)


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": None},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "GeometryCollection", "geometries": []},
        {"type": "Point", "coordinates": []},
    ],
)
def test_what_is_empty_is_counted_and_costs_nothing_else(tmp_path, geometry):
    content = json.loads(json.dumps(GOOD))
    content["features"].append({"type": "Feature", "properties": {}, "geometry": geometry})
    found = read(tmp_path, content)
    assert found.num_empty == read(tmp_path, GOOD).num_empty + 1
    assert len(found.polygon_ends) == len(read(tmp_path, GOOD).polygon_ends)


def test_other_damage_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "a.geojson").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(ReadError, match="is no JSON"):
        read_geojson(tmp_path / "a.geojson")
    with pytest.raises(ReadError, match="cannot be read"):
        read_geojson(tmp_path / "b.geojson")
    with pytest.raises(ReadError, match="cannot be read"):
        read_geojson(tmp_path)
    monkeypatch.setattr(geojson, "MAX_BYTES", 100)
    with pytest.raises(ReadError, match="bytes, more than 100"):
        read(tmp_path, GOOD)
    monkeypatch.setattr(geojson, "MAX_BYTES", 10**6)
    monkeypatch.setattr(geojson, "MAX_CORNERS", 3)
    with pytest.raises(ReadError, match="ring of 5 points"):
        read(tmp_path, GOOD)


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_flipped_bytes_give_a_mask_or_a_reason(tmp_path_factory, data):
    text = bytearray(json.dumps(collection(*GOOD["features"] * 3, crs="EPSG:4326")).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flip") / "a.geojson"
    path.write_bytes(text)
    reason = ""
    try:
        mask = rasterise(place(read_geojson(path), GRID, may_be_pixels=True), 48, 64)
    except ReadError as error:
        mask, reason = np.zeros((48, 64)), str(error)
    assert mask.any() or reason
    assert "\n" not in reason
    assert set(np.unique(mask)) <= {0, 1}
