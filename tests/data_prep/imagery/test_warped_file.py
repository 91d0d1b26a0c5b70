"""Warped images hold, at each pixel of the target, what their picture shows there."""

import dataclasses

import numpy as np
import pytest
import rasterio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.rpc import RPC

from data_prep.imagery import warped_file
from data_prep.imagery.bands import ImageRaster, ReadError
from data_prep.imagery.common_ground import common_ground
from data_prep.imagery.grid import Grid, positions
from data_prep.imagery.image_file import ImageFile
from data_prep.imagery.turn import UPRIGHT
from data_prep.imagery.warped_file import CUBIC, NEAREST, kernel_for, shifted, warped

UTM16, UTM17, WGS84 = (CRS.from_epsg(code) for code in (32616, 32617, 4326))
EAST, NORTH = 700_000.0, 4_000_000.0  # UTM 16; the middle of all drawn grids.


def scene(x, y):
    """Return three smooth bands [..., 3], 16 bits, of coordinates in UTM 16."""
    u, v = (np.asarray(x) - EAST) / 40, (np.asarray(y) - NORTH) / 35
    waves = [np.sin(u + 0.3 * v), np.cos(v - 0.2 * u), np.sin(0.7 * u) * np.cos(0.6 * v)]
    return 30_000 + 20_000 * np.stack(waves, axis=-1)


def drawn(grid, dtype="uint16", valid=None):
    """Return an open image that shows the scene where its grid says that it lies."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    points = at(grid, columns.ravel(), rows.ravel())
    pixels = scene(*points.T).reshape(grid.height, grid.width, 3)
    return opened(grid, np.round(pixels).astype(dtype), valid)


def opened(grid, pixels, valid=None):
    def load(window):
        row, column, rows, columns = window or (0, 0, *pixels.shape[:2])
        cut = np.s_[row : row + rows, column : column + columns]
        return ImageRaster(pixels[cut], None if valid is None else valid[cut])

    return ImageFile(
        path=__file__,
        grid=grid,
        num_bands=pixels.shape[-1],
        dtype=str(pixels.dtype),
        notes=(),
        turn=UPRIGHT,
        load=load,
    )


def at(grid, columns, rows):
    """Return coordinates in UTM 16 of (column, row)."""
    world = Grid(1, 1, Affine(1, 0, 0, 0, 1, 1e-9), UTM16)  # Coordinates as pixels of one metre.
    return positions(grid, columns, rows, world) + np.array([0, 1e-9])


def placed(height, width, size, angle=0.0, mirrored=False, crs=UTM16, off=(0.0, 0.0)):
    """Return a grid around the middle of the scene, with pixels of `size` metres."""
    centre = {UTM16: (EAST, NORTH), UTM17: MIDDLE_17, WGS84: MIDDLE_84}[crs]
    unit = 1 / 111_000 if crs == WGS84 else 1.0
    cos, sin = np.cos(np.radians(angle)) * size * unit, np.sin(np.radians(angle)) * size * unit
    flip = 1 if mirrored else -1
    a, b, d, e = cos, -sin * flip, sin, cos * flip
    x, y = centre[0] + off[0] * unit, centre[1] + off[1] * unit
    origin = (x - a * width / 2 - b * height / 2, y - d * width / 2 - e * height / 2)
    return Grid(height, width, Affine(a, b, origin[0], d, e, origin[1]), crs)


def _middle(crs):
    (x,), (y,) = rasterio.warp.transform(UTM16, crs, [EAST], [NORTH])
    return x, y


MIDDLE_17, MIDDLE_84 = _middle(UTM17), _middle(WGS84)
grids = st.builds(
    placed,
    height=st.integers(30, 70),
    width=st.integers(30, 70),
    size=st.floats(0.4, 1.2),
    angle=st.floats(-180, 180),
    mirrored=st.booleans(),
    crs=st.sampled_from([UTM16, UTM17, WGS84]),
    off=st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
)


@given(first=grids, second=grids)
@settings(max_examples=60, deadline=None, phases=[Phase.generate])
def test_values_are_those_of_the_ground(first, second):
    ground = common_ground(first, second)
    assert ground is not None
    image = warped(drawn(second), first, kernel_for(ground))
    raster = image.read()
    assert raster.pixels.shape == (first.height, first.width, 3)
    columns, rows = np.meshgrid(np.arange(first.width) + 0.5, np.arange(first.height) + 0.5)
    expected = scene(*at(first, columns.ravel(), rows.ravel()).T).reshape(raster.pixels.shape)
    there = positions(first, columns.ravel(), rows.ravel(), second).reshape(*columns.shape, 2)
    size = np.array([second.width, second.height])
    inside = ((there > 0.02) & (there < size - 0.02)).all(axis=-1)
    beyond = ((there < -0.02) | (there > size + 0.02)).any(axis=-1)
    valid = np.ones(columns.shape, bool) if raster.valid is None else raster.valid
    assert valid[inside].all()
    assert not valid[beyond].any()
    assert (raster.pixels[beyond] == 0).all()
    assert inside.sum() <= round(ground.share * inside.size) <= (~beyond).sum()
    # Away from the second's edge, where a kernel is cut. Slopes are 2e4 / 35 a metre: one hundredth
    # of a pixel beside it, values are 2 to 7 off. A widened kernel is sampled at odd places, which
    # moves its middle by some hundredths.
    reach = 2 * np.maximum(ground.scale, 1) + 1
    deep = ((there > reach) & (there < size - reach)).all(axis=-1)
    worst = 5 if max(ground.scale) < 1.05 else 25
    if ground.by_whole_pixels:
        worst = 100  # A tenth of a pixel.
    if deep.any():
        assert np.abs(raster.pixels[deep] - expected[deep]).max() < worst


@given(first=grids, second=grids, data=st.data())
@settings(max_examples=15, deadline=None)
def test_pieces_are_the_whole(first, second, data):
    first = dataclasses.replace(first, height=first.height * 5, width=first.width * 5)
    image = warped(drawn(second), first, CUBIC)
    whole = image.read()
    again = warped(drawn(second), first, CUBIC)
    for _ in range(4):
        row = data.draw(st.integers(0, first.height - 1))
        column = data.draw(st.integers(0, first.width - 1))
        rows = data.draw(st.integers(1, first.height - row))
        columns = data.draw(st.integers(1, first.width - column))
        piece = again.read((row, column, rows, columns))
        cut = np.s_[row : row + rows, column : column + columns]
        np.testing.assert_array_equal(piece.pixels, whole.pixels[cut])
        if whole.valid is not None:
            valid = np.ones((rows, columns), bool) if piece.valid is None else piece.valid
            np.testing.assert_array_equal(valid, whole.valid[cut])


def test_a_turned_image_stays_sharp():
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 1)).astype(np.uint8)
    second = placed(150, 150, 1.0)
    first = placed(70, 70, 1.0, angle=45)
    kernel = kernel_for(common_ground(first, second))
    assert kernel.in_words() == "warped by cubic interpolation"
    # Means over 1.4 pixels, as of an image that is shrunk, would leave about 34.
    assert warped(opened(second, noise), first, kernel).read().pixels.std() > 50


def test_a_finer_image_is_averaged():
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 1)).astype(np.uint8)
    second, first = placed(160, 160, 0.5), placed(20, 20, 4.0, off=(0.2, 0.1))
    kernel = kernel_for(common_ground(first, second))
    assert kernel.in_words() == "warped by cubic interpolation over 8 x 8 pixels"
    found = warped(opened(second, noise), first, kernel).read().pixels.astype(float)
    assert found.mean() == pytest.approx(127.5, abs=3)
    assert found.std() < 20  # One pixel of 64 would have 74.


def test_whole_pixels_are_moved_and_not_interpolated():
    noise = np.random.default_rng(0).integers(0, 65536, (40, 50, 2)).astype(np.uint16)
    second = placed(40, 50, 0.5)
    a, b, c, d, e, f = second.transform[:6]
    first = Grid(30, 60, Affine(a, b, c + 7 * a + 0.04 * a, d, e, f - 5 * e), UTM16)
    kernel = kernel_for(common_ground(first, second))
    assert kernel == NEAREST
    raster = warped(opened(second, noise), first, kernel).read()
    np.testing.assert_array_equal(raster.pixels[5:30, :43], noise[:25, 7:])
    expected = np.zeros((30, 60), bool)
    expected[5:30, :43] = True
    np.testing.assert_array_equal(raster.valid, expected)


def test_pixels_without_data_are_not_mixed_in():
    pixels = np.full((40, 40, 3), 100, np.uint8)
    valid = np.ones((40, 40), bool)
    pixels[10:20, 10:20], valid[10:20, 10:20] = 255, False
    second = placed(40, 40, 1.0)
    for size, height in ((1.0, 40), (2.3, 17)):
        first = placed(height, height, size, off=(0.4, 0.3))
        kernel = kernel_for(common_ground(first, second))
        raster = warped(opened(second, pixels, valid), first, kernel).read()
        assert set(np.unique(raster.pixels[raster.valid])) == {100}
        columns, rows = np.meshgrid(np.arange(height) + 0.5, np.arange(height) + 0.5)
        there = positions(first, columns.ravel(), rows.ravel(), second)
        column, row = np.floor(there).astype(int).T  # The nearest pixel.
        inside = (column >= 0) & (row >= 0) & (column < 40) & (row < 40)
        nearest = valid[np.clip(row, 0, 39), np.clip(column, 0, 39)] & inside
        np.testing.assert_array_equal(raster.valid.ravel(), nearest)


def test_a_finer_image_is_read_by_halves_of_a_block(monkeypatch):
    second, first = placed(300, 320, 0.2), placed(22, 17, 3.1, angle=20)
    kernel = kernel_for(common_ground(first, second))
    whole = warped(drawn(second), first, kernel).read()
    monkeypatch.setattr(warped_file, "_MAX_SOURCE", 12_000)
    sizes = []
    image = drawn(second)

    def load(window):
        sizes.append(window[2] * window[3])
        return image.load(window)

    parts = warped(dataclasses.replace(image, load=load), first, kernel).read()
    assert max(sizes) <= 12_000
    np.testing.assert_array_equal(parts.valid, whole.valid)
    # The same kernel at the same places; rounding may differ.
    assert np.abs(parts.pixels.astype(int) - whole.pixels).max() <= 1
    monkeypatch.setattr(warped_file, "_MAX_SOURCE", 60)
    with pytest.raises(ReadError, match="pixels in one of the other image, more than 60"):
        warped(image, first, kernel).read()


def test_only_the_blocks_of_a_window_are_read():
    second, first = placed(9000, 9000, 0.5, off=(30, -20)), placed(9000, 9000, 0.5, angle=1)
    sizes = []

    def load(window):
        sizes.append(window[2] * window[3])
        return ImageRaster(np.zeros((*window[2:], 1), np.uint8))

    image = dataclasses.replace(opened(second, np.zeros((1, 1, 1), np.uint8)), load=load)
    moved = warped(image, first, kernel_for(common_ground(first, second)))
    for column in (4000, 4100, 4000):
        assert moved.read((4090, column, 20, 300)).pixels.shape == (20, 300, 1)
    assert len(sizes) == 6  # Blocks of 256: two of rows, three of columns.
    assert max(sizes) < 280**2


def test_no_approximation_over_large_pixels():
    """A thousand kilometres in UTM are far from straight in degrees."""
    second = Grid(900, 1300, Affine(0.02, 0, -100, 0, -0.02, 46), WGS84)
    first = Grid(400, 300, Affine(2000, 0, 3e5, 0, -2000, 4.8e6), UTM16)
    columns, rows = np.meshgrid(np.arange(1300), np.arange(900))
    ramps = np.stack([columns * 50, rows * 70], axis=-1).astype(np.uint16)
    raster = warped(opened(second, ramps), first, CUBIC).read()
    across, down = np.meshgrid(np.arange(300) + 0.5, np.arange(400) + 0.5)
    seen = positions(first, across.ravel(), down.ravel(), second).reshape(400, 300, 2) - 0.5
    assert raster.valid is None
    np.testing.assert_allclose(raster.pixels, seen * (50, 70), rtol=0, atol=0.6)


def test_a_shift_within_the_own_grid_is_taken_out():
    for grid in (placed(60, 70, 0.7, angle=30), Grid(60, 70, Affine.identity(), None)):
        columns, rows = np.meshgrid(np.arange(70.0), np.arange(60.0))
        picture = opened(grid, np.stack([columns * 3, rows * 3], -1).astype(np.uint8))
        moved = shifted(picture, (0.333333, -2.0))
        assert moved.grid == grid
        raster = moved.read()
        np.testing.assert_array_equal(raster.pixels[20, 20], [61, 54])
        assert raster.valid[2:, :-1].all()
        assert not raster.valid[:2].any()


def test_longitudes_are_counted_from_either_side():
    """One ground at 180 degrees, in degrees east, in degrees west, and in metres."""
    metres = Grid(40, 40, Affine(1, 0, 833_960, 0, -1, 20), CRS.from_epsg(32601 - 1 + 60))
    east = Grid(60, 60, Affine(1e-5, 0, 179.9997, 0, -1e-5, 3e-4), WGS84)
    west = dataclasses.replace(east, transform=Affine(1e-5, 0, -180.0003, 0, -1e-5, 3e-4))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 1)).astype(np.uint8)
    half = dataclasses.replace(east, transform=Affine(1e-5, 0, 179.999705, 0, -1e-5, 3e-4))
    for first in (metres, half):
        rasters = []
        for grid in (east, west):
            ground = common_ground(first, grid)
            assert ground.share > 0.5
            rasters.append(warped(opened(grid, pixels), first, kernel_for(ground)).read())
        np.testing.assert_array_equal(rasters[0].pixels, rasters[1].pixels)
        assert rasters[0].pixels.any()


def test_control_points_bend_the_image():
    flat = placed(80, 90, 1.0)
    corners = [(row, column) for row in (0, 40, 80) for column in (0, 30, 60, 90)]
    points = []
    for row, column in corners:
        x, y = flat.transform * (column + 4e-4 * row**2, row)
        points.append((float(row), float(column), float(x), float(y), 0.0))
    bent = dataclasses.replace(flat, points=tuple(points))
    first = placed(50, 60, 0.9, angle=10)
    raster = warped(drawn(bent), first, kernel_for(common_ground(first, bent))).read()
    columns, rows = np.meshgrid(np.arange(60) + 0.5, np.arange(50) + 0.5)
    expected = scene(*at(first, columns.ravel(), rows.ravel()).T).reshape(50, 60, 3)
    assert raster.valid is None or raster.valid.mean() > 0.9
    valid = slice(None) if raster.valid is None else raster.valid
    error = np.abs(raster.pixels.astype(float) - expected)[valid]
    assert np.median(error) < 5  # The bend is 2.6 pixels: up to 1500.
    assert error.max() < 100  # At the edge.


def test_polynomials_place_the_image():
    x, y = MIDDLE_84
    rpcs = RPC(
        height_off=0.0, height_scale=1.0, lat_off=y, lat_scale=1e-3, long_off=x, long_scale=1e-3,
        line_off=45.0, line_scale=111.0, samp_off=40.0, samp_scale=90.0,
        line_num_coeff=[0, 0, -1] + [0] * 17, line_den_coeff=[1] + [0] * 19,
        samp_num_coeff=[0, 1] + [0] * 18, samp_den_coeff=[1] + [0] * 19,
    )  # fmt: skip
    second = Grid(
        90, 80, Affine(1, 0, 1, 0, 1, 1), WGS84, rpcs=tuple(sorted(rpcs.to_gdal().items()))
    )
    first = placed(40, 40, 0.9, angle=-20)
    raster = warped(drawn(second), first, kernel_for(common_ground(first, second))).read()
    columns, rows = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
    expected = scene(*at(first, columns.ravel(), rows.ravel()).T).reshape(40, 40, 3)
    assert raster.valid is None
    assert np.abs(raster.pixels.astype(float) - expected).max() < 15
