import numpy as np
import pytest
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.transform import from_origin

from data_prep.imagery.grid import Grid
from noise2map_jax.previews.ground_scale import metres_a_pixel, north

LOCAL = CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
FOOT = 0.3048


def grid(crs, transform, height=100, width=200):
    return Grid(height, width, transform, CRS.from_user_input(crs) if crs else None)


def rotated(degrees, size=1.0, x=5e5, y=4.5e6):
    """Pixels whose columns lead `degrees` north of east."""
    angle = np.radians(degrees)
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    return Affine(cos, sin, x, sin, -cos, y)


@pytest.mark.parametrize(
    ("crs", "transform", "expected"),
    [
        ("EPSG:32616", from_origin(5e5, 4.5e6, 0.5, 0.5), 0.5 / 0.9996),  # UTM's scale, on its axis
        ("EPSG:32616", rotated(30, 0.5), 0.5 / 0.9996),
        ("EPSG:2263", from_origin(984250, 200000, 2.0, 2.0), 2 * 1200 / 3937),  # US survey feet
        (LOCAL, from_origin(10, 20, 3.0, 3.0), 3 * FOOT),
    ],
)
def test_lengths_are_those_on_the_ground(crs, transform, expected):
    assert metres_a_pixel(grid(crs, transform)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("latitude", [0.0, 45.0, -60.0, 78.0])
# 180 degrees are crossed by the second scene.
@pytest.mark.parametrize("longitude", [10.0, 179.9991])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_degrees_and_web_mercator_follow_the_latitude(crs, latitude, longitude):
    pyproj = pytest.importorskip("pyproj", reason="of the extra gis")
    x, y = longitude, latitude
    size = 1e-5
    if crs == "EPSG:3857":
        to_plane = pyproj.Transformer.from_crs(4326, 3857, always_xy=True)
        (x, y), size = to_plane.transform(x, y), 1.0
    place = from_origin(x, y + 50 * size, size, size)
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    ends = [to_degrees.transform(x + column * size, y) for column in (90, 110)]
    _, _, length = pyproj.Geod(ellps="WGS84").inv(*ends[0], *ends[1])
    assert metres_a_pixel(grid(crs, place)) == pytest.approx(length / 20, rel=1e-5)


def test_the_metres_of_another_body_count_as_they_are():
    moon = CRS.from_proj4("+proj=stere +lat_0=-90 +R=1737400 +units=m")
    assert metres_a_pixel(grid(moon, from_origin(1e4, 2e4, 5, 5))) == pytest.approx(5)
    degrees = CRS.from_proj4("+proj=longlat +R=1737400")
    assert metres_a_pixel(grid(degrees, from_origin(10, 20, 1e-4, 1e-4))) is None


def test_without_a_crs_nothing_is_known():
    bare = grid(None, from_origin(5e5, 4e6, 0.5, 0.5))
    assert metres_a_pixel(bare) is None
    assert north(bare) is None


@pytest.mark.parametrize(
    ("crs", "transform", "expected"),
    [
        ("EPSG:32616", from_origin(5e5, 4.5e6, 0.5, 0.5), (0, -1)),
        ("EPSG:32616", Affine(0.5, 0, 5e5, 0, 0.5, 4.5e6), (0, 1)),  # south up
        ("EPSG:32616", rotated(30), (0.5, -(0.75**0.5))),
        ("EPSG:32616", rotated(-100), (-np.sin(np.radians(100)), -np.cos(np.radians(100)))),
        ("EPSG:4326", from_origin(20, 60, 1e-5, 1e-5), (0, -1)),
        # North leads towards the pole, wherever in the plane that is.
        ("EPSG:3413", Affine(10, 0, 1e6 - 1e3, 0, -10, 1e6 + 5e2), (-(0.5**0.5), 0.5**0.5)),
        ("EPSG:3413", Affine(0.1, 0, -5, 0, -0.1, 10), (-(0.5**0.5), 0.5**0.5)),  # 7 m from it
        (LOCAL, rotated(30, 3.0, 0, 0), (0.5, -(0.75**0.5))),
    ],
)
def test_north_is_where_it_is_in_the_picture(crs, transform, expected):
    np.testing.assert_allclose(north(grid(crs, transform)), expected, atol=2e-3)
