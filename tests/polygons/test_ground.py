import math

import numpy as np
import pytest
import shapely
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.rpc import RPC

from data_prep.imagery.grid import Grid, reprojected
from noise2map_jax.errors import UserError

pytest.importorskip("pyproj", reason="pyproj is not installed (extra gis)")

from noise2map_jax.polygons.ground import Ground, valid_parts

A, E = 6378137.0, math.sqrt(0.00669437999014)  # WGS 84
DEGREES, MERCATOR = CRS.from_epsg(4326), CRS.from_epsg(3857)


def band(latitude):
    """Area of the ellipsoid from the equator to a latitude, a radian of longitude wide."""
    s = math.sin(math.radians(latitude))
    b2 = A * A * (1 - E * E)
    return b2 / 2 * (s / (1 - (E * s) ** 2) + math.log((1 + E * s) / (1 - E * s)) / (2 * E))


def rectangle(west, south, east, north):
    """Area between two meridians and two parallels of WGS 84, by its closed formula."""
    return math.radians(east - west) * (band(north) - band(south))


def areas(grid, polygons, **options):
    ground = Ground(grid, **options)
    placed, owner = ground.place(np.array(polygons, object))
    assert owner.tolist() == list(range(len(polygons)))
    return ground.areas(placed)


# What is added and what is taken away, as (first column, first row, last column, last row).
SHAPES = {
    "a pixel": ([(10, 20, 11, 21)], []),
    "a square": ([(0, 0, 1000, 1000)], []),
    "a line": ([(0, 500, 1000, 501)], []),
    # One long edge, and many short ones on the other side: what the long one is wrong by stays.
    "a comb": ([(0, 500, 1000, 501), *((i, 501, i + 1, 502) for i in range(0, 1000, 2))], []),
    "a ring": ([(100, 100, 900, 900)], [(300, 300, 700, 700)]),
}


@pytest.mark.parametrize("latitude", [-80, -45, 0, 30, 60, 84])
@pytest.mark.parametrize("pixel", [2e-6, 1e-3])  # 0.2 m and 100 m
@pytest.mark.parametrize("wgs84", [False, True])
def test_areas_in_degrees_are_those_of_the_ellipsoid(latitude, pixel, wgs84):
    grid = Grid(1000, 1000, Affine(pixel, 0, 8, 0, -pixel, latitude), DEGREES)

    def exact(boxes):
        return sum(
            rectangle(
                8 + pixel * west,
                latitude - pixel * south,
                8 + pixel * east,
                latitude - pixel * north,
            )
            for west, north, east, south in boxes
        )

    polygons = [
        shapely.union_all([shapely.box(*box) for box in more]).difference(
            shapely.union_all([shapely.box(*box) for box in less])
        )
        for more, less in SHAPES.values()
    ]
    expected = [exact(more) - exact(less) for more, less in SHAPES.values()]
    np.testing.assert_allclose(areas(grid, polygons, wgs84=wgs84), expected, rtol=1e-4)


@pytest.mark.parametrize("latitude", [0, 38.9, 65])
@pytest.mark.parametrize("wgs84", [False, True])
def test_areas_in_mercator_are_not_its_square_metres(latitude, wgs84):
    (x, y), pixel = reprojected(np.array([[12.0, latitude]]), DEGREES, MERCATOR)[0], 0.6
    grid = Grid(1000, 1000, Affine(pixel, 0, x, 0, -pixel, y), MERCATOR)
    corners = np.array([[x, y], [x + 1000 * pixel, y - 1000 * pixel]])
    (west, north), (east, south) = reprojected(corners, MERCATOR, DEGREES)
    (area,) = areas(grid, [shapely.box(0, 0, 1000, 1000)], wgs84=wgs84)
    assert area == pytest.approx(rectangle(west, south, east, north), rel=1e-4)
    if latitude:
        assert area < 0.9 * 600**2


@pytest.mark.parametrize("zone_metres", [0, 150_000, 300_000])  # east of the central meridian
@pytest.mark.parametrize("transform", ["north_up", "south_up", "rotated"])
def test_areas_in_utm_have_its_scale_taken_out(zone_metres, transform):
    linear = {
        "north_up": (0.5, 0, 0, -0.5),
        "south_up": (0.5, 0, 0, 0.5),
        "rotated": (0.4, 0.3, 0.3, -0.4),
    }[transform]
    a, b, d, e = linear
    grid = Grid(200, 200, Affine(a, b, 5e5 + zone_metres, d, e, 4.5e6), CRS.from_epsg(32616))
    (area,) = areas(grid, [shapely.box(40, 60, 160, 100)])
    # Transverse Mercator's scale away from its meridian, to the second order.
    scale = 0.9996 * (1 + (zone_metres / 0.9996) ** 2 / (2 * 6.379e6**2))
    assert area == pytest.approx(120 * 40 * 0.25 / scale**2, rel=1e-4)


def test_areas_beside_the_antimeridian_and_around_a_pole():
    date_line = Grid(100, 100, Affine(0.001, 0, 179.95, 0, -0.001, 10), DEGREES)
    expected = rectangle(179.95, 9.9, 180.05, 10)
    for wgs84 in (False, True):
        (area,) = areas(date_line, [shapely.box(0, 0, 100, 100)], wgs84=wgs84)
        assert area == pytest.approx(expected, rel=1e-4)
    fiji = CRS.from_epsg(32701)  # its zone begins at 180 degrees
    (x, y), *_ = reprojected(np.array([[-179.99, -17.0]]), DEGREES, fiji)
    grid = Grid(100, 100, Affine(50, 0, x - 2500, 0, -50, y), fiji)
    ground = Ground(grid, wgs84=True)
    placed, _ = ground.place(np.array([shapely.box(0, 0, 100, 100)], object))
    assert np.ptp(shapely.get_coordinates(placed)[:, 0]) < 0.1  # goes on beyond -180
    (plain,) = areas(grid, [shapely.box(0, 0, 100, 100)])
    assert ground.areas(placed)[0] == pytest.approx(plain, rel=1e-4)
    pole = Grid(200, 200, Affine(1000, 0, -1e5, 0, -1000, 1e5), CRS.from_epsg(3031))
    circle = shapely.Point(100, 100).buffer(80, quad_segs=90)
    (latitude,) = reprojected(np.array([[0.0, 80e3]]), CRS.from_epsg(3031), DEGREES)[:, 1]
    (area,) = areas(pole, [circle])
    assert area == pytest.approx(rectangle(-180, -90, 180, latitude), rel=1e-4)


@pytest.mark.parametrize("crs", [None, CRS.from_wkt('LOCAL_CS["hall",UNIT["metre",1]]')])
def test_without_a_crs_of_the_earth_areas_are_in_pixels(crs):
    for transform in (Affine.identity(), Affine(0, 3, 7, -2, 0, 9)):
        grid = Grid(10, 10, transform, crs)
        ground = Ground(grid)
        assert ground.unit == "px"
        placed, _ = ground.place(np.array([shapely.box(1, 2, 4, 8)], object))
        np.testing.assert_allclose(ground.areas(placed), [18])
        with pytest.raises(UserError, match=r"GeoJSON.*write \.gpkg or \.parquet"):
            Ground(grid, wgs84=True)


def test_corners_lie_where_the_grid_says_to_the_last_digit():
    grid = Grid(50, 50, Affine(0.3, 0.1, 500000.123, 0.1, -0.3, 4000000.456), CRS.from_epsg(32616))
    placed, _ = Ground(grid).place(np.array([shapely.box(3, 4, 20, 30)], object))
    corners = shapely.get_coordinates(shapely.box(3, 4, 20, 30))
    assert shapely.get_coordinates(placed).tolist() == grid.coordinates(*corners.T).tolist()


def test_control_points_place_polygons():
    # A parabola, which an affine transform would miss by 0.5 * 80^2 * 1e-3 = 3.2 m.
    points = tuple(
        (float(r), float(c), 5e5 + c + 1e-3 * r * r, 4e6 - r, 0.0)
        for r in (0, 40, 80, 120)
        for c in (0, 40, 80, 120)
    )
    grid = Grid(120, 120, Affine(1, 0, 5e5, 0, -1, 4e6), CRS.from_epsg(32616), points=points)
    placed, _ = Ground(grid).place(np.array([shapely.box(10, 80, 20, 90)], object))
    west, south, east, north = placed[0].bounds
    np.testing.assert_allclose(
        [west, south, east, north],
        [5e5 + 10 + 6.4, 4e6 - 90, 5e5 + 20 + 8.1, 4e6 - 80],
        atol=1e-3,
    )


def test_polynomials_place_polygons():
    of_longitude, of_latitude, one = ([float(k == index) for k in range(20)] for index in (1, 2, 0))
    rpcs = RPC(
        height_off=0.0,
        height_scale=1.0,
        lat_off=45.0,
        lat_scale=0.001,
        line_num_coeff=of_latitude,  # rows go north
        line_den_coeff=one,
        line_off=50.0,
        line_scale=50.0,
        long_off=8.0,
        long_scale=0.001,
        samp_num_coeff=of_longitude,
        samp_den_coeff=one,
        samp_off=50.0,
        samp_scale=50.0,
    )
    pairs = tuple(sorted(rpcs.to_gdal().items()))
    grid = Grid(100, 100, Affine(2e-5, 0, 7.999, 0, 2e-5, 44.999), DEGREES, rpcs=pairs)
    placed, _ = Ground(grid).place(np.array([shapely.box(50, 25, 75, 50)], object))
    half = 1e-5  # polynomials count from the middle of a pixel
    np.testing.assert_allclose(
        np.array(placed[0].bounds) + half, [8, 44.9995, 8.0005, 45], rtol=0, atol=1e-7
    )


def test_a_corner_off_the_earth_is_named():
    grid = Grid(100, 100, Affine(1, 0, 50, 0, -1, 100), DEGREES)
    ground = Ground(grid, wgs84=True)
    orthographic = CRS.from_proj4("+proj=ortho +lat_0=0 +lon_0=0 +datum=WGS84")
    globe = Grid(100, 100, Affine(140e3, 0, -7e6, 0, -140e3, 7e6), orthographic)
    ground = Ground(globe, wgs84=True)
    assert len(ground.place(np.array([shapely.box(40, 40, 60, 60)], object))[0]) == 1
    with pytest.raises(UserError, match=r"corner at column 1, row 0 has no place"):
        ground.place(np.array([shapely.box(0, 0, 1, 1)], object))


@pytest.mark.parametrize("wgs84", [False, True])
def test_long_edges_stay_where_pixels_are(wgs84):
    """A line of a UTM grid is a curve in degrees, 100 m away from the chord after 70 km."""
    crs = CRS.from_epsg(32633)
    grid = Grid(7000, 7000, Affine(10, 0, 4e5, 0, -10, 6.8e6), crs)
    placed, _ = Ground(grid, wgs84=wgs84).place(np.array([shapely.box(0, 0, 7000, 7000)], object))
    edge = placed[0].exterior.interpolate(np.linspace(0, 1, 1001), normalized=True)
    points = shapely.get_coordinates(edge)
    seen = grid.pixels(reprojected(points, DEGREES, crs) if wgs84 else points)
    off_the_edge = np.abs(np.concatenate([seen, seen - 7000], axis=1)).min(axis=1)
    assert off_the_edge.max() < 0.15


def test_axes_are_metres_east_and_north():
    latitude = 60
    grid = Grid(100, 100, Affine(1e-5, 0, 8, 0, -1e-5, latitude), DEGREES)
    (axes,) = Ground(grid).axes(np.array([[50.0, 50.0]]))
    ((east, _), (_, south)) = axes
    assert east == pytest.approx(1e-5 * 111320 * 0.5, rel=0.01)
    assert south == pytest.approx(-1e-5 * 111412, rel=0.01)
    np.testing.assert_allclose([axes[0, 1], axes[1, 0]], 0, atol=1e-6)
    turned = Grid(100, 100, Affine(0, -2.0, 0, 3.0, 0, 0), None)
    (axes,) = Ground(turned).axes(np.array([[5.0, 5.0]]))
    np.testing.assert_allclose(axes, [[0, -2], [3, 0]])


def test_a_polygon_that_crosses_itself_falls_into_valid_parts():
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    parts, owner = valid_parts(np.array([shapely.box(0, 0, 1, 1), bow], object))
    assert owner.tolist() == [0, 1, 1]
    assert shapely.is_valid(parts).all()
    assert shapely.area(parts).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (CRS.from_epsg(3031), Affine(0.5, 0, -25, 0, -0.5, 25)),
        (DEGREES, Affine(4, 0, -180, 0, -1, 45)),
    ],
)
def test_what_goes_around_a_pole_or_the_earth_is_refused_for_geojson(crs, transform):
    grid = Grid(90, 90, transform, crs)
    around, beside = shapely.box(0, 0, 90, 90), shapely.box(0, 0, 20, 20)
    assert areas(grid, [beside], wgs84=True)[0] > 0
    with pytest.raises(UserError, match=r"goes around a pole or around the Earth"):
        areas(grid, [beside, around], wgs84=True)


def test_a_polygon_beyond_the_poles_has_no_place():
    grid = Grid(20, 10, Affine(1, 0, 0, 0, -1, 95), DEGREES)
    assert areas(grid, [shapely.box(0, 5, 10, 10)])[0] > 0
    with pytest.raises(UserError, match=r"row 0 has no place in the CRS"):
        areas(grid, [shapely.box(0, 0, 10, 10)])
