import json
import os
import pathlib
import sys

import numpy as np
import pytest
import shapely

pytest.importorskip("pyogrio", reason="pyogrio is not installed (extra gis)")
pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra gis)")

import pyarrow.parquet
import pyogrio
import pyproj
from class_maps import read

from noise2map_jax.errors import UserError
from noise2map_jax.polygons import polygon_file
from noise2map_jax.polygons.polygon_file import (
    FORMATS,
    Features,
    Layer,
    check_output,
    write_features,
)

UTM, WGS84 = pyproj.CRS.from_epsg(32616), pyproj.CRS.from_epsg(4326)


def features(*boxes, probability=None):
    count = len(boxes)
    return Features(
        np.array([shapely.box(*box) for box in boxes], object),
        np.array(["building"] * count, object),
        np.ones(count, int),
        np.arange(count) + 0.5,
        probability,
    )


def layer(path, has_probability=False, crs=UTM):
    return Layer(WGS84 if path.suffix == ".geojson" else crs, "area_m2", has_probability)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_back(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(polygon_file, "_BATCH", 2)
    path = tmp_path / f"o{suffix}"
    some = features((1, 2, 3, 4), (5, 6, 7, 8), probability=np.array([0.25, np.nan]))
    more = features((0, 0, 1, 1), probability=np.array([1.0]))
    write_features(str(path), layer(path, True), iter([more, some, more]))
    polygons, columns = read(path)
    expected = [shapely.box(0, 0, 1, 1), *some.polygons, shapely.box(0, 0, 1, 1)]
    assert shapely.equals(polygons, expected).all()
    assert list(columns) == ["class", "class_index", "area_m2", "mean_probability"]
    assert columns["class"] == ["building"] * 4
    assert columns["class_index"] == [1] * 4
    assert columns["area_m2"] == [0.5, 0.5, 1.5, 0.5]
    first, second, third, last = columns["mean_probability"]
    assert (first, second, last) == (1.0, 0.25, 1.0)
    assert third is None or np.isnan(third)  # null; numpy has only NaN for it
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("crs", [UTM, None])
def test_a_file_without_polygons_has_its_columns_and_crs(tmp_path, suffix, crs):
    path = tmp_path / f"o{suffix}"
    write_features(str(path), layer(path, crs=crs), iter([]))
    assert read(path)[0].tolist() == []
    if suffix == ".gpkg":
        info = pyogrio.read_info(path)
        assert info["crs"] == ("EPSG:32616" if crs else None) or not crs
        assert list(info["fields"]) == ["class", "class_index", "area_m2"]
        assert (info["layer_name"], info["geometry_type"]) == ("o", "Polygon")


def test_geoparquet_says_where_it_lies(tmp_path):
    for crs in (UTM, None):
        write_features(
            str(tmp_path / "o.parquet"),
            Layer(crs, "area_m2", False),
            iter([features((0, 0, 1, 1))]),
        )
        schema = pyarrow.parquet.read_schema(tmp_path / "o.parquet")
        about = json.loads(schema.metadata[b"geo"])
        column = about["columns"][about["primary_column"]]
        assert (about["version"], column["encoding"]) == ("1.1.0", "WKB")
        assert column["geometry_types"] == ["Polygon"]
        # No key would mean WGS 84; null says that it is not known.
        assert column["crs"] == (crs and json.loads(crs.to_json()))


def test_geojson_is_cut_at_the_antimeridian_and_rings_go_by_the_right_hand(tmp_path):
    path = tmp_path / "o.geojson"
    write_features(
        str(path),
        layer(path),
        iter([features((179.5, 10, 180.5, 11), (-180.5, 10, -179.5, 11), (8, 50, 9, 51))]),
    )
    content = json.loads(path.read_text())
    assert "crs" not in content
    *cut, plain = [shapely.geometry.shape(f["geometry"]) for f in content["features"]]
    for polygon in cut:
        assert polygon.bounds == (-180, 10, 180, 11)
        assert polygon.area == pytest.approx(1)
    assert plain.exterior.is_ccw


def test_an_error_on_the_way_leaves_the_old_file_and_no_part(tmp_path):
    for suffix in FORMATS:
        path = tmp_path / f"o{suffix}"
        path.write_text("the old one")

        def broken():
            yield features((0, 0, 1, 1))
            raise UserError("the map ends early")

        with pytest.raises(UserError, match=r"^the map ends early$"):
            write_features(str(path), layer(path), broken())
        assert path.read_text() == "the old one"
    assert len(os.listdir(tmp_path)) == len(FORMATS)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_a_killed_run_left_is_written_over(tmp_path, suffix):
    for left in (f"o.part{suffix}", f"o.part{suffix}-journal"):
        (tmp_path / left).write_bytes(os.urandom(4096))
    path = tmp_path / f"o{suffix}"
    write_features(str(path), layer(path), iter([features((0, 0, 1, 1))]))
    assert len(read(path)[0]) == 1
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_place_that_goes_away_is_an_error_in_one_line(tmp_path, suffix):
    path = tmp_path / "away" / f"o{suffix}"
    with pytest.raises(UserError, match="cannot write") as error:
        write_features(str(path), layer(path), iter([features((0, 0, 1, 1))]))
    assert "\n" not in str(error.value)


def test_outputs_are_checked_before_the_work(tmp_path):
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "map.gpkg").touch()
    for name, sources, words in (
        ("o.shp", (), r"written as \.gpkg, \.geojson, \.parquet"),
        ("o", (), "name such a file"),
        ("none/o.gpkg", (), "no folder"),
        ("folder.gpkg", (), "is a folder"),
        ("map.gpkg", ("a.tif", str(tmp_path / "map.gpkg")), "would overwrite"),
    ):
        with pytest.raises(UserError, match=words):
            check_output(str(tmp_path / name), sources)
    check_output(str(tmp_path / "O.GPKG"), ("a.tif",))
    assert sorted(os.listdir(tmp_path)) == ["folder.gpkg", "map.gpkg"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "touch", refuse)  # root may write anywhere
    with pytest.raises(UserError, match=r"cannot write to '.*': Permission denied"):
        check_output(str(tmp_path / "o.gpkg"))


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(UserError, match=r"needs pyogrio.*pip install 'noise2map_jax\[gis\]'"):
        check_output(str(tmp_path / "o.gpkg"))
