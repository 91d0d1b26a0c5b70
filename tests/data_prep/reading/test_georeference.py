"""Which images touch: against rectangles of whole metres, in any CRS and any direction."""

import itertools

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS
from rasterio.warp import transform

from data_prep.imagery.grid import Grid
from data_prep.reading import georeference

UTM, DEGREES, MERCATOR = CRS.from_epsg(32633), CRS.from_epsg(4326), CRS.from_epsg(3857)
# The other zone's coordinates of the same ground, turned by some degrees.
NEIGHBOUR = CRS.from_epsg(32632)
EAST, NORTH, PIXEL = 500_000.0, 5_000_000.0, 0.5


def grid(x, y, width, height, crs=UTM, turn=0.0):
    """A grid over a rectangle of pixels beside (EAST, NORTH), in a CRS; turned around its corner.

    In another CRS than UTM its corners are those of the rectangle, but for the fourth.
    """
    rotation = rasterio.Affine.rotation(turn)
    corners = [(0, 0), (width, 0), (0, height)]
    metres = [(x + PIXEL * u, y - PIXEL * v) for u, v in (rotation * c for c in corners)]
    xs, ys = zip(*((EAST + u, NORTH + v) for u, v in metres), strict=True)
    xs, ys = transform(UTM, crs, xs, ys)
    to_crs = rasterio.Affine(
        (xs[1] - xs[0]) / width,
        (xs[2] - xs[0]) / height,
        xs[0],
        (ys[1] - ys[0]) / width,
        (ys[2] - ys[0]) / height,
        ys[0],
    )
    return Grid(height, width, to_crs, crs)


def pairs(*grids):
    return set(georeference.touching(grids))


rectangles = st.tuples(
    st.integers(0, 24), st.integers(0, 24), st.integers(4, 12), st.integers(4, 12)
)
systems = st.sampled_from([UTM, DEGREES, MERCATOR, NEIGHBOUR])


@given(st.lists(st.tuples(rectangles, systems), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_rectangles_touch_where_no_more_than_a_pixel_lies_between(drawn):
    """On whole metres and pixels of half a metre, so gaps are 0 or at least two pixels."""
    grids = [grid(x, -y, 2 * w, 2 * h, crs) for (x, y, w, h), crs in drawn]
    boxes = [shapely.box(x, -y - h, x + w, -y) for (x, y, w, h), _ in drawn]
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(len(boxes)), 2)
        if boxes[i].distance(boxes[j]) == 0
    }
    assert pairs(*grids) == expected


@given(
    st.lists(st.tuples(rectangles, st.floats(0, 360)), min_size=2, max_size=6),
    systems,
)
@settings(max_examples=60, deadline=None)
def test_turned_images_touch_where_their_outlines_do(drawn, crs):
    grids = [grid(x, -y, 2 * w, 2 * h, crs, turn) for (x, y, w, h), turn in drawn]
    outlines = []
    for (x, y, w, h), turn in drawn:
        shape = rasterio.Affine.rotation(turn)
        corners = [shape * c for c in ((0, 0), (2 * w, 0), (2 * w, 2 * h), (0, 2 * h))]
        outlines.append(shapely.Polygon([(x + PIXEL * u, -y - PIXEL * v) for u, v in corners]))
    found = pairs(*grids)
    for i, j in itertools.combinations(range(len(grids)), 2):
        gap = outlines[i].distance(outlines[j])
        if abs(gap - PIXEL) > 0.02:  # Metres: scale and direction differ a little between CRSs.
            assert ((i, j) in found) == (gap < PIXEL)


@pytest.mark.parametrize("crs", [UTM, DEGREES, MERCATOR])
@pytest.mark.parametrize(("gap", "is_one"), [(0.9, True), (1.2, False)])
def test_a_pixel_of_the_coarser_may_lie_between(crs, gap, is_one):
    fine = grid(0, 0, 20, 20, crs)
    for other in (grid(10 + gap * PIXEL, 0, 20, 20, crs), grid(0, -10 - gap * PIXEL, 20, 20, crs)):
        assert bool(pairs(fine, other)) == is_one
        assert bool(pairs(other, fine)) == is_one
    coarse = Grid(5, 5, fine.transform * rasterio.Affine.scale(4), crs)
    beyond = grid(10 + 4 * gap * PIXEL, 0, 20, 20, crs)
    assert bool(pairs(coarse, beyond)) == is_one
    assert bool(pairs(beyond, coarse)) == is_one


@pytest.mark.parametrize("turn", [0, 360, -360])
def test_the_antimeridian_is_no_border(turn):
    west = Grid(10, 10, rasterio.Affine(0.001, 0, 179.99, 0, -0.001, 60), DEGREES)
    east = Grid(10, 10, rasterio.Affine(0.001, 0, -180 + turn, 0, -0.001, 60), DEGREES)
    far = Grid(10, 10, rasterio.Affine(0.001, 0, -179.98 + turn, 0, -0.001, 60), DEGREES)
    across = Grid(10, 20, rasterio.Affine(0.001, 0, 179.99 + turn, 0, -0.001, 60), DEGREES)
    assert pairs(west, east, far) == {(0, 1)}
    assert pairs(east, west) == {(0, 1)}
    assert pairs(across, west, east, far) == {(0, 1), (0, 2), (1, 2)}
    zones = [CRS.from_epsg(code) for code in (32660, 32601)]
    sides = []
    for crs, longitude in zip(zones, (179.9999, -179.9999), strict=True):
        (x,), (y,) = transform(DEGREES, crs, [longitude], [10.0])
        sides.append(Grid(100, 100, rasterio.Affine(1, 0, x - 50, 0, -1, y), crs))
    assert pairs(*sides) == {(0, 1)}


def test_images_around_a_pole_meet():
    polar = CRS.from_epsg(3995)
    around = Grid(200, 200, rasterio.Affine(10, 0, -1000, 0, -10, 1000), polar)
    beside = Grid(10, 10, rasterio.Affine(10, 0, 1000, 0, -10, 0), polar)
    beyond = Grid(10, 10, rasterio.Affine(10, 0, 1100, 0, -10, -200), polar)
    assert pairs(around, beside, beyond) == {(0, 1)}


def test_only_what_says_where_it_lies_is_read(tmp_path):
    there = rasterio.Affine(0.5, 0, EAST, 0, -0.5, NORTH)
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    for name, crs in {"earth": UTM, "no_crs": None, "site": site}.items():
        with rasterio.open(
            tmp_path / f"{name}.tif",
            "w",
            driver="GTiff",
            height=8,
            width=9,
            count=1,
            dtype="uint8",
            crs=crs,
            transform=there,
        ) as target:
            target.write(np.ones((1, 8, 9), np.uint8))
    for suffix in (".tif", ".png"):
        Image.new("L", (9, 8)).save(tmp_path / f"plain{suffix}")
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "earth.tif").read_bytes()[:100])
    found = {path.name: georeference.read(path) for path in tmp_path.iterdir()}
    (earth,) = (grid for grid in found.values() if grid)
    assert earth == found["earth.tif"] == Grid(8, 9, there, UTM)
    assert len(found) == 7
