import json
import math

import numpy as np
import pytest
import shapely
from outline_files import pyogrio, save

from data_prep.basics.errors import UserError
from data_prep.reading.outlines import read_outlines

SQUARES = [shapely.box(x, 0, x + 1, 1) for x in range(4)]


def collection(path, *rings):
    features = [
        {"type": "Feature", "properties": {}, "geometry": ring and {"type": "Polygon", **ring}}
        for ring in rings
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def ring(*points):
    return {"coordinates": [[list(point) for point in points]]}


SQUARE = ring((0, 0), (1, 0), (1, 1), (0, 0))


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".fgb"])
def test_polygons_are_read_from_what_a_gis_writes(tmp_path, suffix):
    found = read_outlines(save(tmp_path / f"a{suffix}", SQUARES, crs="EPSG:4326"))
    order = np.argsort(shapely.bounds(found.shapes)[:, 0])
    assert shapely.equals(found.shapes[order], SQUARES).all()
    assert found.values.tolist() == [1] * 4
    assert (found.num_features, found.crs.to_epsg()) == (4, 4326)


def test_features_without_a_geometry_are_counted(tmp_path):
    path = collection(tmp_path / "a.geojson", None, SQUARE, None)
    found = read_outlines(path)
    assert (found.num_features, found.features.tolist()) == (3, [2])
    with pytest.raises(UserError, match="holds no polygon: 2 features without a geometry"):
        read_outlines(collection(tmp_path / "b.geojson", None, None), may_be_empty=True)
    assert not len(read_outlines(collection(tmp_path / "c.geojson"), may_be_empty=True).shapes)
    with pytest.raises(UserError, match="holds no polygon"):
        read_outlines(tmp_path / "c.geojson")


@pytest.mark.parametrize("points", [[(0, 0)], [(0, 0), (1, 1)], [(0, 0), (1, 0), (1, 1), (0, 1)]])
def test_rings_that_are_not_closed_are_named(tmp_path, points):
    path = collection(tmp_path / "a.geojson", SQUARE, ring(*points))
    with pytest.raises(UserError, match=r"1 of 2 features \(first: number 2\) have damaged rings"):
        read_outlines(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_shapefile_that_was_cut_off_is_refused(tmp_path, share):
    path = save(tmp_path / "a.shp", SQUARES)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"was cut off: it has .* bytes; copy it again"):
        read_outlines(path)


def test_tables_beside_the_polygons_are_no_layers(tmp_path):
    """QGIS keeps styles in such a table."""
    path = save(tmp_path / "a.gpkg", SQUARES, layer="houses")
    table = {"layer": "layer_styles", "append": True, "geometry_type": None}
    pyogrio.raw.write(path, None, [np.array(["x"])], ["style"], **table)
    assert len(read_outlines(path).shapes) == 4
    save(path, SQUARES, layer="area")
    with pytest.raises(UserError, match="has the layers houses, area; choose one by --area_layer"):
        read_outlines(path, layer_option="--area_layer")


@pytest.mark.parametrize("number", [0, -1])
def test_a_geopackage_may_say_that_it_has_no_crs(tmp_path, number):
    path = tmp_path / "a.gpkg"
    options = {"geometry_type": "Polygon", "layer_options": {"SRID": str(number)}}
    with pytest.warns(UserWarning, match="crs"):
        pyogrio.raw.write(path, shapely.to_wkb(SQUARES), [], [], **options)
    assert read_outlines(path).crs is None


KINDS = [
    (["house", "hut", "2", "1"], ("no", "house", "hut"), [1, 2, 2, 1]),
    ([1.0, 2.0, 2.0, 1.0], ("no", "house", "hut"), [1, 2, 2, 1]),
    (["1.0", "2.0", "2", "1"], ("no", "house", "hut"), [1, 2, 2, 1]),
    ([True, True, False, True], ("no", "house"), [1, 1, 0, 1]),
    (["3", "2", "3", "2"], ("0", "2", "3"), [2, 1, 2, 1]),  # names that are numbers
    ([3, 2, 3, 2], ("0", "2", "3"), [2, 1, 2, 1]),
]


@pytest.mark.parametrize(("values", "classes", "indices"), KINDS)
def test_a_column_tells_the_class_by_name_or_index(tmp_path, values, classes, indices):
    path = save(tmp_path / "a.gpkg", SQUARES, kind=np.array(values))
    found = read_outlines(path, classes=classes, field="kind")
    assert found.values.tolist() == indices


def test_classes_that_are_missing_or_unknown_are_told(tmp_path):
    path = save(tmp_path / "a.gpkg", SQUARES, kind=np.array([1.0, math.nan, 1.0, math.nan]))
    with pytest.raises(UserError, match=r"2 of 4 .*\(first: number 2\) have no value .*'kind'"):
        read_outlines(path, classes=("no", "house"), field="kind")
    path = save(tmp_path / "b.gpkg", SQUARES, kind=np.array([2, 3, 1, 3]))
    with pytest.raises(UserError, match="holds '1'; expected 0, 2, 3 "):
        read_outlines(path, classes=("0", "2", "3"), field="kind")
