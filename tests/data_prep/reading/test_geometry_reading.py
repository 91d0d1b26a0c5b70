"""What the coordinates of a GeoJSON file mean: its CRS, degrees or pixels."""

import pytest
import rasterio
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
from rasterio.warp import transform as reproject

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid


@pytest.mark.parametrize(
    "name",
    [
        None,
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:OGC::CRS84",
        "OGC:CRS84",
        "EPSG:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    ],
)
def test_names_of_wgs84(tmp_path, name):
    mask, _ = draw(tmp_path, collection(feature(georeferenced(square(3, 4), WGS84)), crs=name))
    assert mask.sum() == 64
    assert mask[4:12, 3:11].all()


@pytest.mark.parametrize("name", ["EPSG:3857", "urn:ogc:def:crs:EPSG::3857"])
def test_names_of_mercator(tmp_path, name):
    mask, _ = draw(tmp_path, collection(feature(georeferenced(square(3, 4), MERCATOR)), crs=name))
    assert mask[4:12, 3:11].all()
    assert mask.sum() == 64


def test_footprints_outside_are_counted(tmp_path):
    content = collection(*(feature(georeferenced(square(c, 5), WGS84)) for c in (-4, 300)))
    mask, placed = draw(tmp_path, content)
    assert placed.num_outside == 1
    assert mask.sum() == 4 * 8


def test_pixel_coordinates_under_a_wrong_crs(tmp_path):
    content = collection(feature(square(3, 4)), feature(square(-4, 40)), crs="OGC:CRS84")
    mask, placed = draw(tmp_path, content, may_be_pixels=True)
    assert placed.reading == "pixels"
    assert mask[4:12, 3:11].all()
    assert mask.sum() == 64 + 4 * 8
    with pytest.raises(ReadError, match="has 2 polygons, none of which meets the image"):
        draw(tmp_path, content)


def test_degrees_win_over_pixels_and_other_places_are_no_pixels(tmp_path):
    """Longitude 31, latitude 30 are the numbers of a pixel, too."""
    x, y = (v[0] for v in reproject(WGS84, MERCATOR, [31.0], [30.0]))
    cairo = Grid(48, 64, rasterio.Affine(PIXEL, 0, x, 0, -PIXEL, y), MERCATOR)
    content = collection(feature(georeferenced(square(3, 4), WGS84, cairo)))
    mask, placed = draw(tmp_path, content, cairo, may_be_pixels=True)
    assert placed.reading == "EPSG:4326"
    assert mask[4:12, 3:11].all()
    with pytest.raises(ReadError, match="none of which meets the image"):
        draw(tmp_path, content, GRID, may_be_pixels=True)


def test_grid_without_crs(tmp_path):
    grid = Grid(48, 64, GRID.transform, None)
    with pytest.raises(ReadError, match="no CRS"):
        draw(tmp_path, collection(feature(square(3, 4))), grid, may_be_pixels=True)


def degrees(*places, side=1e-4):
    """Buildings of about 10 m at (longitude, latitude)."""
    return [feature(square(x, y, side)) for x, y in places]


@pytest.mark.parametrize("crs", [None, "OGC:CRS84", "EPSG:4326"])
def test_degrees_of_another_place_are_not_read_as_pixels(tmp_path, crs):
    """However far they are apart, and though their numbers are those of pixels of the image."""
    content = collection(*degrees((31.1, 30.2), (31.3, 30.9), (12.5, 41.9), (2.3, 48.9)), crs=crs)
    with pytest.raises(
        ReadError, match=r"has 4 polygons, none of which meets the image \(EPSG:4326\)"
    ):
        draw(tmp_path, content, may_be_pixels=True)


def test_degrees_with_footprints_far_outside_the_image_stay_degrees(tmp_path):
    inside = feature(georeferenced(square(3, 4), WGS84))
    far = degrees((31.1, 30.2), (31.3, 30.9), (12.5, 41.9))
    mask, placed = draw(tmp_path, collection(inside, *far), may_be_pixels=True)
    assert (placed.reading, placed.num_outside) == ("EPSG:4326", 3)
    assert mask.sum() == 64


def test_pixels_that_cover_the_image_as_degrees_by_chance_stay_pixels(tmp_path):
    """An image at longitude 36, latitude 25, and a building around column 36, row 25."""
    x, y = (v[0] for v in reproject(WGS84, MERCATOR, [36.0], [25.0]))
    grid = Grid(48, 64, rasterio.Affine(PIXEL, 0, x, 0, -PIXEL, y), MERCATOR)
    content = collection(feature(square(3, 4)), feature(square(32, 21)), feature(square(50, 30)))
    mask, placed = draw(tmp_path, content, grid, may_be_pixels=True)
    assert placed.reading == "pixels"
    assert mask.sum() == 3 * 64


def test_what_fits_both_is_refused(tmp_path):
    """One building that is 8 degrees or 8 pixels wide, on the image either way."""
    x, y = (v[0] for v in reproject(WGS84, MERCATOR, [36.0], [25.0]))
    grid = Grid(48, 64, rasterio.Affine(PIXEL, 0, x, 0, -PIXEL, y), MERCATOR)
    reason = "is ambiguous: 1 of its 1 polygons meet the image as EPSG:4326 and 1 as pixels"
    with pytest.raises(ReadError, match=reason):
        draw(tmp_path, collection(feature(square(32, 21))), grid, may_be_pixels=True)


def test_a_projected_crs_that_is_named_counts(tmp_path):
    content = collection(feature(square(3, 4)), crs="EPSG:3857")
    with pytest.raises(ReadError, match=r"none of which meets the image \(EPSG:3857\)"):
        draw(tmp_path, content, may_be_pixels=True)


def test_slivers_and_a_damaged_corner_do_not_decide(tmp_path):
    """Of pixels a few polygons may be narrow, of degrees one may have a corner far off."""
    slivers = [feature(square(20 + i, 30, 0.05)) for i in range(2)]
    content = collection(*(feature(square(c, 4)) for c in (3, 20, 40)), *slivers)
    assert draw(tmp_path, content, may_be_pixels=True)[1].reading == "pixels"
    damaged = georeferenced(square(3, 4), WGS84)
    damaged[2][0] += 5
    good = [feature(georeferenced(square(c, 20), WGS84)) for c in (3, 20)]
    placed = draw(tmp_path, collection(feature(damaged), *good), may_be_pixels=True)[1]
    assert placed.reading == "EPSG:4326"
