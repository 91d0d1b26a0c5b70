import json
import math
import shutil
import subprocess
import sys

import numpy as np
import programs
import pytest
import rasterio
import shapely
from class_maps import burn, read, write_map, write_probability
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from rasterio.control import GroundControlPoint
from scipy import ndimage
from shapely import affinity

pytest.importorskip("pyogrio", reason="pyogrio is not installed (extra gis)")

from data_prep.imagery.grid import grid_of, reprojected
from noise2map_jax.errors import UserError
from noise2map_jax.polygons.ground import Ground
from noise2map_jax.polygons.polygon_file import FORMATS
from noise2map_jax.polygons.polygon_options import PolygonOptions
from noise2map_jax.polygons.polygonization import write_polygons

UTM = rasterio.CRS.from_epsg(32616)
TRANSFORMS = {
    "north_up": rasterio.Affine(0.3, 0, 500000.1, 0, -0.3, 4000000.7),
    "south_up": rasterio.Affine(0.3, 0, 500000.1, 0, 0.3, 4000000.7),
    "rotated": rasterio.Affine(0.4, 0.3, 500000.1, 0.3, -0.4, 4000000.7),
}


def random_map(height=60, width=50, seed=0):
    """Blobs of two classes, some no data."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((height, width)), 1.5)
    classes = np.digitize(noise, np.quantile(noise, [0.6, 0.85])).astype(np.uint8)
    classes[5:9, 30:35] = 255
    return classes


def in_pixels(polygons, path):
    """Bring polygons of a file back to the pixels of its map."""
    with rasterio.open(path) as source:
        grid = grid_of(source)

    def back(points, crs):
        points = reprojected(points, crs, grid.crs) if crs else points
        return grid.pixels(points)

    return lambda crs: shapely.transform(polygons, lambda points: back(points, crs))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_burnt_back_the_polygons_give_the_map(tmp_path, suffix, transform):
    classes = random_map()
    source = write_map(tmp_path / "m.tif", classes, crs=UTM, transform=transform)
    output = str(tmp_path / f"o{suffix}")
    summary = write_polygons(source, output, strip_rows=17)
    polygons, columns = read(output)
    expected = np.where(classes == 255, 0, classes)
    assert shapely.is_valid(polygons).all()
    pixels = in_pixels(polygons, source)(
        rasterio.CRS.from_epsg(4326) if suffix == ".geojson" else None
    )
    np.testing.assert_array_equal(burn(pixels, columns["class_index"], classes.shape), expected)
    if suffix != ".geojson":
        np.testing.assert_array_equal(
            burn(polygons, columns["class_index"], classes.shape, transform), expected
        )
    assert summary.count == len(polygons) == sum(ndimage.label(expected == k)[1] for k in (1, 2))
    cell = abs(transform.determinant) / 0.9996**2  # the scale of UTM on its central meridian
    for index, name in ((1, "building"), (2, "water")):
        assert summary.areas[name] == pytest.approx((expected == index).sum() * cell, rel=1e-4)
    names = {1: "building", 2: "water"}
    assert columns["class"] == [names[index] for index in columns["class_index"]]
    assert sum(columns["area_m2"]) == pytest.approx(sum(summary.areas.values()), rel=1e-12)


@given(
    classes=arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.sampled_from([0, 1, 2, 255]),
    ),
    rows=st.integers(1, 13),
    suffix=st.sampled_from(list(FORMATS)),
    pixel=st.sampled_from([0.01, 0.5, 1000.0]),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_map_comes_back_in_any_format(tmp_path, classes, rows, suffix, pixel):
    place = {"crs": UTM, "transform": rasterio.Affine(pixel, 0, 5e5, 0, -pixel, 4e6)}
    source = write_map(tmp_path / "m.tif", classes, **place)
    output = str(tmp_path / f"o{suffix}")
    write_polygons(source, output, strip_rows=rows)
    polygons, columns = read(output)
    assert shapely.is_valid(polygons).all()
    pixels = in_pixels(polygons, source)(
        rasterio.CRS.from_epsg(4326) if suffix == ".geojson" else None
    )
    indices = columns.get("class_index", [])  # GeoJSON without features has no columns
    np.testing.assert_array_equal(
        burn(pixels, indices, classes.shape), np.where(classes == 255, 0, classes)
    )


def test_mean_probability_is_over_the_pixels_of_the_polygon(tmp_path):
    classes = random_map()
    values = np.random.default_rng(1).random(classes.shape).astype(np.float32)
    values[classes == 255] = np.nan
    place = {"crs": UTM, "transform": TRANSFORMS["rotated"]}
    source = write_map(tmp_path / "m.tif", classes, **place)
    probability = write_probability(tmp_path / "p.tif", values, nodata=np.nan, **place)
    write_polygons(source, str(tmp_path / "o.gpkg"), probability=probability, strip_rows=7)
    polygons, columns = read(tmp_path / "o.gpkg")
    for polygon, mean in zip(polygons, columns["mean_probability"], strict=True):
        inside = burn([polygon], [1], classes.shape, place["transform"]) == 1
        assert mean == pytest.approx(values[inside].mean(dtype=float), rel=1e-6)


@pytest.mark.filterwarnings("ignore:The given matrix is equal")  # of writing the map
def test_without_a_crs_areas_are_in_pixels(tmp_path):
    classes = random_map()
    source = write_map(tmp_path / "m.tif", classes, crs=None, transform=rasterio.Affine.identity())
    summary = write_polygons(
        source, str(tmp_path / "o.parquet"), options=PolygonOptions(minimum_area=10)
    )
    polygons, columns = read(tmp_path / "o.parquet")
    assert list(columns) == ["class", "class_index", "area_px"]
    assert columns["area_px"] == pytest.approx(shapely.area(polygons))
    assert min(columns["area_px"]) >= 10
    assert summary.unit == "px"
    assert 0 < summary.too_small == len(all_areas(classes)) - summary.count
    write_polygons(source, str(tmp_path / "o.gpkg"))
    with pytest.raises(UserError, match="has no CRS, and GeoJSON"):
        write_polygons(source, str(tmp_path / "o.geojson"))


def all_areas(classes):
    """Pixels of each region."""
    labels = [ndimage.label(classes == k)[0] for k in (1, 2)]
    return np.concatenate([np.bincount(label.ravel())[1:] for label in labels])


@pytest.mark.parametrize("suffix", FORMATS)
def test_control_points_place_the_polygons(tmp_path, suffix):
    points = [
        GroundControlPoint(r, c, 5e5 + c + 1e-3 * r * r, 4e6 - r)
        for r in (0, 30, 60)
        for c in (0, 25, 50)
    ]
    classes = random_map()
    path = tmp_path / "m.tif"
    profile = {"height": 60, "width": 50, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", gcps=points, crs=UTM, **profile) as target:
        target.write(classes, 1)
        target.update_tags(classes="0 = background, 1 = building, 2 = water")
    write_polygons(str(path), str(tmp_path / f"o{suffix}"))
    polygons, columns = read(tmp_path / f"o{suffix}")
    pixels = in_pixels(polygons, path)(
        rasterio.CRS.from_epsg(4326) if suffix == ".geojson" else None
    )
    np.testing.assert_array_equal(
        burn(pixels, columns["class_index"], classes.shape), np.where(classes == 255, 0, classes)
    )


def slanting_houses(size=240):
    """Houses of 20 x 30 pixels at all angles, one of them with a court; and a round tank."""
    houses = [
        affinity.rotate(shapely.box(x, y, x + 20, y + 30), 7 * x + y)
        for x in range(20, size - 50, 50)
        for y in range(20, size - 50, 50)
    ]
    houses[0] = houses[0].difference(houses[0].buffer(-6, join_style="mitre"))
    return burn(
        [*houses, shapely.Point(220, 220).buffer(12)], [1] * len(houses) + [2], (size, size)
    )


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "options", [PolygonOptions(0, 1), PolygonOptions(0, 0, True), PolygonOptions(0, 1.5, True)]
)
def test_changed_outlines_stay_valid_and_near(tmp_path, options, suffix):
    classes = slanting_houses()
    place = {"crs": UTM, "transform": TRANSFORMS["north_up"]}
    source = write_map(tmp_path / "m.tif", classes, **place)
    plain = write_polygons(source, str(tmp_path / "plain.parquet"))
    summary = write_polygons(source, str(tmp_path / f"o{suffix}"), options=options)
    polygons, columns = read(tmp_path / f"o{suffix}")
    assert shapely.is_valid(polygons).all()
    assert set(shapely.get_type_id(polygons)) == {shapely.GeometryType.POLYGON}
    assert summary.count == len(polygons) == plain.count
    assert columns["area_m2"] == pytest.approx(
        read(tmp_path / "plain.parquet")[1]["area_m2"], rel=0.15
    )
    houses = [p for p, index in zip(polygons, columns["class_index"], strict=True) if index == 1]
    corners = [len(house.exterior.coords) - 1 for house in houses]
    assert sum(len(house.interiors) for house in houses) == 1
    if options.square_corners:
        assert corners.count(4) >= len(houses) - 1
    assert max(corners) < 30
    pixels = in_pixels(polygons, source)(
        rasterio.CRS.from_epsg(4326) if suffix == ".geojson" else None
    )
    drawn = burn(pixels, columns["class_index"], classes.shape)
    assert (drawn != classes).sum() < 0.1 * (classes > 0).sum()


def test_corners_are_square_on_the_ground_whatever_the_pixels(tmp_path):
    """Pixels in degrees are half as wide as high at 60 degrees north."""
    house = affinity.scale(affinity.rotate(shapely.box(20, 20, 80, 60), 30), 2, 1)
    classes = burn([affinity.translate(house, 20, 0)], [1], (100, 200))
    source = write_map(
        tmp_path / "m.tif",
        classes,
        crs="EPSG:4326",
        transform=rasterio.Affine(1e-5, 0, 8, 0, -1e-5, 60),
    )
    write_polygons(source, str(tmp_path / "o.gpkg"), options=PolygonOptions(square_corners=True))
    ((polygon,), _) = read(tmp_path / "o.gpkg")
    metres = shapely.get_coordinates(polygon.exterior) * [111320 * 0.5012, 111412]
    edges = np.diff(metres, axis=0)
    edges = (edges[:, 0] + 1j * edges[:, 1]) / np.hypot(*edges.T)
    assert len(edges) == 4
    np.testing.assert_allclose((edges[1:] / edges[:-1]).real, 0, atol=0.01)


def test_outlines_that_cannot_be_squared_are_counted_and_kept(tmp_path):
    classes = random_map()
    source = write_map(tmp_path / "m.tif", classes, crs=UTM, transform=TRANSFORMS["north_up"])
    summary = write_polygons(
        source, str(tmp_path / "o.gpkg"), options=PolygonOptions(square_corners=True)
    )
    write_polygons(source, str(tmp_path / "plain.gpkg"))
    squares, plain = (read(tmp_path / f"{name}.gpkg")[0] for name in ("o", "plain"))
    assert 0 < summary.not_squared == shapely.equals(squares, plain).sum() < summary.count
    assert f"{summary.not_squared} not squared" in str(summary)
    areas = read(tmp_path / "o.gpkg")[1]["area_m2"]
    is_kept = shapely.equals(squares, plain)
    large = np.median(areas)
    summary = write_polygons(
        source, str(tmp_path / "large.gpkg"), options=PolygonOptions(large, square_corners=True)
    )
    assert summary.not_squared == (is_kept & (areas >= large)).sum()


def test_parts_of_a_polygon_have_its_class_and_probability(tmp_path, monkeypatch):
    """Rounding of coordinates can split a polygon; here all are cut into two."""
    place = Ground.place

    def cut(self, polygons):
        whole, owner = place(self, polygons)
        west, south, east, north = shapely.bounds(whole).T
        halves = [
            shapely.intersection(whole, shapely.box(*bounds))
            for bounds in ((west, south, east, north - 0.15), (west, north - 0.15, east, north))
        ]
        return np.concatenate(halves), np.concatenate([owner, owner])

    monkeypatch.setattr(Ground, "place", cut)
    classes = np.zeros((4, 40), np.uint8)
    classes[1:3, 1::2] = np.arange(20) % 2 + 1
    options = {"crs": UTM, "transform": TRANSFORMS["north_up"]}
    source = write_map(tmp_path / "m.tif", classes, **options)
    values = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (4, 1))
    probability = write_probability(tmp_path / "p.tif", values, **options)
    summary = write_polygons(source, str(tmp_path / "o.gpkg"), probability=probability)
    polygons, columns = read(tmp_path / "o.gpkg")
    assert summary.count == 40
    column = in_pixels(polygons, source)(None)
    at = np.array([round(polygon.bounds[0]) for polygon in column])
    assert columns["class_index"] == classes[1][at].tolist()
    assert columns["mean_probability"] == pytest.approx(values[0][at])


def test_the_least_area_is_in_square_metres_on_the_ground(tmp_path):
    latitude, pixel = 60, 1e-5
    classes = np.zeros((40, 40), np.uint8)
    for n in (3, 5, 7):
        classes[5 * n - 12 : 5 * n - 12 + n, 4 : 4 + n] = 1
    source = write_map(
        tmp_path / "m.tif",
        classes,
        crs="EPSG:4326",
        transform=rasterio.Affine(pixel, 0, 8, 0, -pixel, latitude),
    )
    cell = pixel**2 * 111412.9 * 111320 * math.cos(math.radians(latitude))
    summary = write_polygons(
        source, str(tmp_path / "o.gpkg"), options=PolygonOptions(minimum_area=20 * cell)
    )
    assert (summary.count, summary.too_small) == (2, 1)
    assert summary.areas == pytest.approx({"building": (25 + 49) * cell}, rel=5e-3)
    assert str(summary).endswith("m2), 1 too small and left out")


def test_it_does_not_write_over_its_map(tmp_path):
    source = write_map(tmp_path / "m.gpkg", random_map())
    with pytest.raises(UserError, match="would overwrite"):
        write_polygons(source, source)


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="ogrinfo (gdal-bin) is not installed")
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_ogrinfo_opens_the_file(tmp_path, suffix):
    classes = random_map()
    source = write_map(tmp_path / "m.tif", classes, crs=UTM, transform=TRANSFORMS["north_up"])
    summary = write_polygons(source, str(tmp_path / f"o{suffix}"))
    done = subprocess.run(
        ["ogrinfo", "-ro", "-so", "-al", str(tmp_path / f"o{suffix}")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Feature Count: {summary.count}" in done.stdout
    assert "Geometry: Polygon" in done.stdout
    assert ('ID["EPSG",32616]' if suffix == ".gpkg" else 'ID["EPSG",4326]') in done.stdout
    assert "area_m2: Real" in done.stdout
    assert done.stderr == ""


def test_geojson_is_plain_json_in_degrees(tmp_path):
    source = write_map(tmp_path / "m.tif", random_map(), crs=UTM, transform=TRANSFORMS["north_up"])
    write_polygons(source, str(tmp_path / "o.geojson"))
    content = json.loads((tmp_path / "o.geojson").read_text())
    polygons = [shapely.geometry.shape(f["geometry"]) for f in content["features"]]
    west, south, east, north = shapely.total_bounds(polygons)
    assert -87 < west < east < -86.999
    assert 36.14 < south < north < 36.15


MASKS = programs.SHARED / "data" / "buildings"


@pytest.mark.skipif(not MASKS.is_dir(), reason="no masks beside the checkout")
def test_real_building_masks_come_back(tmp_path):
    for number, mask in enumerate(sorted(MASKS.glob("*/masks/*.png"))[::10]):
        classes = (np.array(Image.open(mask)) > 0).astype(np.uint8)
        source = write_map(
            tmp_path / f"{number}.tif", classes, crs=UTM, transform=TRANSFORMS["rotated"]
        )
        output = str(tmp_path / f"{number}.gpkg")
        write_polygons(source, output, strip_rows=100)
        polygons, columns = read(output)
        assert shapely.is_valid(polygons).all()
        np.testing.assert_array_equal(
            burn(polygons, columns["class_index"], classes.shape, TRANSFORMS["rotated"]), classes
        )
        squares = write_polygons(source, output, options=PolygonOptions(square_corners=True))
        assert shapely.is_valid(read(output)[0]).all()
        assert sum(squares.areas.values()) == pytest.approx(
            classes.sum() * 0.25 / 0.9996**2, rel=0.05
        )


PLACED = programs.SHARED / "data" / "fixtures"


@pytest.mark.parametrize(
    "name",
    [
        "spacenet_geotiff_geojson/sample_geotiff_buildings_DERIVED.tif",
        "joplin_geotiff_pair/footprints2020_DERIVED",
        "levir_geotiff_pairs/test_23_label.tif",
    ],
)
def test_real_georeferenced_masks_come_back(tmp_path, name):
    path = PLACED / name
    if not path.exists():
        pytest.skip("no georeferenced masks beside the checkout")
    path = next(path.glob("*.tif")) if path.is_dir() else path
    with rasterio.open(path) as mask:
        classes, place = (mask.read(1) > 0).astype(np.uint8), (mask.crs, mask.transform)
    source = write_map(tmp_path / "m.tif", classes, crs=place[0], transform=place[1])
    write_polygons(source, str(tmp_path / "o.gpkg"))
    polygons, columns = read(tmp_path / "o.gpkg")
    assert len(polygons) > 0
    np.testing.assert_array_equal(
        burn(polygons, columns["class_index"], classes.shape, place[1]), classes
    )


PEAK = """
import resource, sys
from noise2map_jax.polygons.polygonization import write_polygons
write_polygons(sys.argv[1], sys.argv[2], probability=sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_scene(folder, rows, width=4000):
    """Houses, 60 in a thousand pixels square, and a wall as long as the scene."""
    rng = np.random.default_rng(0)
    profile = {"height": rows, "width": width, "count": 1, "crs": UTM, "compress": "deflate"}
    profile |= {"transform": TRANSFORMS["north_up"], "tiled": True, "driver": "GTiff"}
    paths = [str(folder / f"{name}{rows}.tif") for name in ("map", "probability")]
    with (
        rasterio.open(paths[0], "w", dtype="uint8", **profile) as classes,
        rasterio.open(paths[1], "w", dtype="float32", **profile) as probability,
    ):
        classes.update_tags(classes="0 = background, 1 = building")
        for top in range(0, rows, 1000):
            strip = np.zeros((1000, width), np.uint8)
            for y, x, h, w in zip(
                *rng.integers(0, [[1000], [width]], (2, 240)),
                *rng.integers(8, 40, (2, 240)),
                strict=True,
            ):
                strip[y : y + h, x : x + w] = 1
            strip[:, 10:20] = 1
            window = rasterio.windows.Window(0, top, width, 1000)
            classes.write(strip, 1, window=window)
            probability.write(strip * np.float32(0.75), 1, window=window)
    return paths


@pytest.mark.long
@pytest.mark.parametrize("suffix", FORMATS)
def test_memory_does_not_grow_with_the_scene(tmp_path, suffix):
    peaks = []
    for rows in (8000, 40000):
        source, probability = write_scene(tmp_path, rows)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, source, str(tmp_path / f"o{suffix}"), probability],
            capture_output=True,
            text=True,
            check=True,
            cwd=programs.ROOT,
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]
