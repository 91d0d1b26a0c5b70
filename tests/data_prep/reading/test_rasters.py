"""Polygons on pixels: a pixel is drawn where its centre lies in a polygon."""

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine

from data_prep.builders import xbd_labels
from data_prep.reading import rasters


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 4]))
@settings(max_examples=60, deadline=None)
def test_edges_through_pixel_centres_belong_to_one_side(seed, factor):
    rng = np.random.default_rng(seed)
    mask = np.kron((rng.random((12, 12)) < 0.4).astype(np.uint8), np.ones((4, 4), np.uint8))
    mask = np.roll(mask, rng.integers(0, 4, 2), (0, 1))
    areas = rasterio.features.shapes(mask, mask=mask > 0, connectivity=4)
    shapes = [(shapely.geometry.shape(area), 1) for area, _ in areas]
    size = 48 // factor
    drawn = rasters.rasterise(shapes, size, size, Affine.scale(factor))
    np.testing.assert_array_equal(drawn, rasters.resize_mask(mask, size, size))


@given(st.integers(0, 2**32), st.sampled_from([0.5, 1.0, 2.5]))
@settings(max_examples=60, deadline=None)
def test_pixels_are_drawn_whose_centres_lie_in_a_polygon(seed, scale):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-10, 50, (5, 2))
    polygon = shapely.convex_hull(shapely.MultiPoint(corners))
    drawn = xbd_labels.draw([(polygon, 3)], 40, 30, scale)
    y, x = (np.mgrid[:40, :30] + 0.5) * scale
    np.testing.assert_array_equal(drawn, 3 * shapely.contains_xy(polygon, x, y))


def test_the_last_polygon_counts_and_none_is_background():
    shapes = [(shapely.box(0, 0, 2, 2), 7), (shapely.box(1, 1, 3, 3), 9)]
    drawn = rasters.rasterise(shapes, 3, 3, Affine.identity())
    assert drawn.tolist() == [[7, 7, 0], [7, 9, 9], [0, 9, 9]]
    assert not rasters.rasterise([], 2, 3, Affine.identity()).any()
    assert rasters.rasterise([], 2, 3, Affine.identity()).shape == (2, 3)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from([1, 3, 5]),
    st.integers(0, 2**32 - 1),
)
def test_resizing_by_whole_factors_is_exact(sides, factors, bands, seed):
    (height, width), (rows, columns) = sides, factors
    rng = np.random.default_rng(seed)
    large = rng.integers(0, 256, (height * rows, width * columns, bands), np.uint8)
    small = rasters.resize_image(large, height, width)
    blocks = large.reshape(height, rows, width, columns, bands).astype(np.int64)
    area = rows * columns
    np.testing.assert_array_equal(small, (2 * blocks.sum((1, 3)) + area) // (2 * area))
    centres = large[rows // 2 :: rows, columns // 2 :: columns]
    np.testing.assert_array_equal(rasters.resize_mask(large, height, width), centres)
    grown = np.kron(small, np.ones((rows, columns, 1), np.uint8))
    size = (height * rows, width * columns)
    np.testing.assert_array_equal(rasters.resize_image(small, *size), grown)
    np.testing.assert_array_equal(rasters.resize_mask(small, *size), grown)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_resizing_by_other_factors_stays_within_what_is_there(bands):
    """No ringing at an edge, and each band for itself: a fourth one is no alpha."""
    image = np.zeros((10, 10, bands), np.uint8)
    image[:, 5:] = 200
    image[..., -1] = 7
    small = rasters.resize_image(image, 4, 4)
    assert small.shape == (4, 4, bands)
    assert (small[..., -1] == 7).all()
    if bands > 1:
        np.testing.assert_array_equal(small[0, :, 0], [0, 0, 200, 200])
