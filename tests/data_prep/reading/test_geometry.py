"""Polygons -> pixels: a reference at pixel centres, two CRSs, real files, damaged files."""

import math

import numpy as np
import programs
import pytest
import rasterio
import shapely
from footprint_files import (
    GRID,
    MERCATOR,
    PIXEL,
    WGS84,
    collection,
    draw,
    feature,
    georeferenced,
    square,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import Grid, same_grid
from data_prep.reading.geojson import read_geojson
from data_prep.reading.geometry import place, rasterise

DATA = programs.SHARED / "data"


def at_centres(rings, height, width):
    """Even-odd rule at each pixel centre, edge by edge."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), bool)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


@given(
    x=st.floats(-5, 70),
    y=st.floats(-5, 55),
    angle=st.floats(0, math.tau),
    a=st.floats(0.6, 20),
    b=st.floats(0.6, 12),
    notch=st.floats(0.1, 0.9),
    crs=st.sampled_from([WGS84, MERCATOR]),
)
@settings(max_examples=150, deadline=None)
def test_oblique_outlines_are_rasterised_at_pixel_centres(
    tmp_path_factory, x, y, angle, a, b, notch, crs
):
    """An L with a court: 10 corners turned by any angle, through either CRS."""
    outline = [(-a, -b), (a, -b), (a, b * (1 - 2 * notch)), (0, b * (1 - 2 * notch)), (0, b)]
    outline.append((-a, b))
    court = [(-0.7 * a, -0.6 * b), (-0.3 * a, -0.6 * b), (-0.3 * a, -0.9 * b * notch)]
    c, s = math.cos(angle), math.sin(angle)
    rings = [[(x + u * c - v * s, y + u * s + v * c) for u, v in r] for r in (outline, court)]
    expected = at_centres(rings, 48, 64)
    placed = [georeferenced([*ring, ring[0]], crs) for ring in rings]
    content = collection(feature(*placed), crs=f"EPSG:{crs.to_epsg()}")
    try:
        mask, _ = draw(tmp_path_factory.mktemp("l"), content)
    except ReadError:
        mask = np.zeros((48, 64), np.uint8)  # It lies outside.
    shape = shapely.Polygon(rings[0], rings[1:])
    if shape.is_valid:
        centres = shapely.points(*(np.argwhere(mask.astype(bool) ^ expected)[:, ::-1] + 0.5).T)
        # Only centres that lie on an edge, as far as rounding in metres can tell.
        assert (shapely.distance(centres, shape.boundary) < 1e-5).all()


def test_corners_between_pixel_centres_decide(tmp_path):
    ring = [[10.4, 5.4], [14.6, 5.4], [14.6, 8.6], [10.4, 8.6], [10.4, 5.4]]
    for crs in (MERCATOR, WGS84):
        content = collection(feature(georeferenced(ring, crs)), crs=f"EPSG:{crs.to_epsg()}")
        mask, placed = draw(tmp_path, content)
        expected = np.zeros((48, 64), np.uint8)
        expected[5:9, 10:15] = 1
        np.testing.assert_array_equal(mask, expected)
        assert placed.reading == crs.to_string()


def test_kinds_of_geometry(tmp_path):
    def ring(*arguments, height=None):
        points = georeferenced(square(*arguments), WGS84)
        return [[*point, height] for point in points] if height is not None else points

    content = collection(
        feature([ring(0, 0)], [ring(20, 0, 10), ring(22, 2, 4)], kind="MultiPolygon"),
        feature(ring(40, 10, 6, height=12.5)),
        {"type": "Feature", "properties": None, "geometry": None},
        feature([]),
        feature(ring(30, 30), ring(30, 30)[:2]),  # A hole without area is none.
    )
    mask, placed = draw(tmp_path, content)
    expected = np.zeros((48, 64), np.uint8)
    for row, column, side in ((0, 0, 8), (0, 20, 10), (10, 40, 6), (30, 30, 8)):
        expected[row : row + side, column : column + side] = 1
    expected[2:6, 22:26] = 0
    np.testing.assert_array_equal(mask, expected)
    assert (len(placed.polygons), placed.num_empty, placed.num_repaired) == (4, 2, 0)


def test_overlapping_footprints_are_united(tmp_path):
    content = collection(*(feature(georeferenced(square(c, 5), WGS84)) for c in (5, 9)))
    mask, _ = draw(tmp_path, content)
    assert mask.sum() == 12 * 8


def test_months_without_buildings(tmp_path):
    mask, placed = draw(tmp_path, collection(), may_be_pixels=True)
    assert mask.shape == (48, 64)
    assert not mask.any()
    assert placed.polygons == ()


def test_invalid_footprints_are_repaired_or_counted(tmp_path):
    bow_tie = [[5, 5], [15, 15], [15, 5], [5, 15], [5, 5]]
    line = [[30, 30], [40, 30], [35, 30], [30, 30]]
    rings = [georeferenced(ring, MERCATOR) for ring in (bow_tie, line, square(50, 30))]
    mask, placed = draw(tmp_path, collection(*(feature(r) for r in rings), crs="EPSG:3857"))
    assert (placed.num_repaired, placed.num_empty, len(placed.polygons)) == (1, 1, 2)
    lobes = np.zeros((48, 64), bool)
    y, x = np.mgrid[:48, :64] + 0.5
    lobes = (abs(y - 10) < abs(x - 10)) & (abs(x - 10) < 5)
    differ = np.argwhere(mask[:, :40].astype(bool) ^ lobes[:, :40])
    assert (abs(abs(differ[:, 0] - 9.5) - abs(differ[:, 1] - 9.5)) < 1e-9).all()  # Diagonals.
    assert mask[:, 50:58].sum() == 64
    assert len(shapely.get_parts(placed.polygons[0])) == 2


def test_grids(tmp_path):
    def moved(x, y, pixel=PIXEL, crs=MERCATOR, size=(40, 64)):
        return Grid(
            *size, rasterio.Affine(pixel, 0, -13556570.0 + x, 0, -pixel, 4579425.8 + y), crs
        )

    assert same_grid(GRID, moved(0, 0))
    assert same_grid(GRID, moved(0.001, 0.001))
    assert not same_grid(GRID, moved(PIXEL, 0))
    assert not same_grid(GRID, moved(0, -0.1 - PIXEL / 10))
    assert not same_grid(GRID, moved(0, 0, PIXEL * 1.01))
    assert not same_grid(GRID, moved(0, 0, crs=WGS84))


@pytest.mark.parametrize(("crs", "pixel"), [(MERCATOR, 0.5), (WGS84, 4.5e-6), (WGS84, 1e-8)])
def test_grids_are_compared_in_pixels_whatever_the_unit(crs, pixel):
    """Metres and degrees; over 1,000 pixels, where a wrong size of the pixels adds up."""

    def grid(size, column, row, width, height, turn=0.0):
        scale = rasterio.Affine.scale(pixel * width, -pixel * height)
        corner = rasterio.Affine.translation(12.0 + pixel * column, 45.0 - pixel * row)
        return Grid(size, size, corner * scale * rasterio.Affine.rotation(turn), crs)

    first = grid(1000, 0, 0, 1, 1)
    for same in (
        grid(1000, 0, 0, 1, 1),
        grid(700, 0.05, -0.05, 1, 1),
        grid(1000, 0, 0, 1 + 9e-5, 1),
    ):
        assert same_grid(first, same)
        assert same_grid(same, first)
    for other in (
        grid(1000, 0.2, 0, 1, 1),
        grid(1000, 0, 0.2, 1, 1),
        grid(1000, 1, 0, 1, 1),
        grid(1000, 0, 0, 1 + 2e-4, 1),  # 0.2 pixels at the far edge.
        grid(1000, 0, 0, 1, 1 + 2e-4),
        grid(1000, 0, 0, 1, 1, turn=0.02),
    ):
        assert not same_grid(first, other)
        assert not same_grid(other, first)


def test_a_grid_is_read_from_its_header(tmp_path):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint8"}
    transform = GRID.transform
    with rasterio.open(path, "w", **profile, crs=MERCATOR, transform=transform, nodata=7) as target:
        target.write(np.zeros((1, 4, 5), np.uint8))
    assert read_grid(path) == Grid(4, 5, transform, MERCATOR, 7)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ReadError, match="cannot be read"):
        read_grid(path)
    with pytest.raises(ReadError, match="cannot be read"):
        read_grid(tmp_path / "none.tif")


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real imagery at {DATA}")


def _differing(placed, theirs):
    """Return how many pixels differ, and how far off an outline the centre of one is at most."""
    differ = np.argwhere(rasterise(placed, *theirs.shape).astype(bool) ^ theirs)
    outlines = shapely.union_all([polygon.boundary for polygon in placed.polygons])
    centres = shapely.points(differ[:, ::-1] + 0.5)
    return len(differ), max(shapely.distance(centres, outlines), default=0.0)


@needs_data
def test_real_footprints_in_utm():
    folder = DATA / "fixtures" / "spacenet_geotiff_geojson"
    grid = read_grid(folder / "sample_geotiff.tif")
    placed = place(read_geojson(folder / "geotiff_labels.geojson"), grid)
    with rasterio.open(folder / "sample_geotiff_buildings_DERIVED.tif") as source:
        theirs = source.read(1) > 0
    assert len(placed.polygons) + placed.num_outside + placed.num_empty == 43
    assert theirs.sum() > 1000
    assert _differing(placed, theirs)[0] == 0


@needs_data
def test_real_footprints_of_a_town_in_wgs84():
    """The images carry no georeference; their names say which tile of the web's map they are."""
    vectors = read_geojson(DATA / "fixtures" / "oam_banepa_geojson" / "osm_buildings.geojson")
    half = 20037508.342789244
    masks = sorted((DATA / "buildings").glob("*/masks/oam_banepa_512__*.png"))
    differing = pixels = 0
    for path in masks:
        x, y, zoom = (int(number) for number in path.stem.split("-")[1:])
        side = 2 * half / 2**zoom
        transform = rasterio.Affine(side / 512, 0, x * side - half, 0, -side / 512, half - y * side)
        placed = place(vectors, Grid(512, 512, transform, MERCATOR))
        theirs = np.array(Image.open(path)) > 127
        number, farthest = _differing(placed, theirs)
        assert farthest < 0.01  # Pixels: rounding decides where an outline meets a centre.
        differing, pixels = differing + number, pixels + int(theirs.sum())
    assert len(masks) == 48
    assert pixels > 4_000_000
    assert differing < 1e-5 * pixels, f"{differing} of {pixels}"
