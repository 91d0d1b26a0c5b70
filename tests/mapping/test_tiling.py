import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax.errors import UserError
from noise2map_jax.mapping.tiling import Tiling, panels


@st.composite
def tilings(draw):
    size = draw(st.sampled_from([1, 8, 16, 31]))
    margin = draw(st.integers(0, (size - 1) // 2))
    return Tiling(size, margin, draw(st.integers(0, (size - 2 * margin) // 2)))


@given(tiling=tilings(), length=st.integers(1, 200))
def test_weights_sum_to_one_at_each_pixel(tiling, length):
    number = tiling.number(length)
    sums = np.zeros(length + 4 * tiling.tile_size)
    for index in range(number):
        start = tiling.offset(index) + tiling.tile_size
        sums[start : start + tiling.tile_size] += tiling.weights(index, number)
    np.testing.assert_allclose(sums[tiling.tile_size :][:length], 1, atol=1e-6)
    # One tile fewer would leave pixels out.
    if number > 1:
        assert tiling.offset(number - 1) + tiling.margin + tiling.overlap < length


def test_weights_rise_smoothly_from_what_is_not_used():
    weights = Tiling(32, 4, 8).weights(1, 3)
    assert not weights[:4].any()
    assert (np.diff(weights[4:12]) > 0).all()
    assert weights[4] < 0.01
    assert (weights[12:20] == 1).all()
    np.testing.assert_allclose(weights, weights[::-1])


def test_a_scene_of_one_tile_has_no_seam_to_blend():
    tiling = Tiling(32, 0, 16)
    assert tiling.number(32) == 1
    assert (tiling.weights(0, 1) == 1).all()
    assert tiling.number(33) == 2


@given(
    tiling=tilings(),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    greatest_width=st.integers(1, 100),
    parts=st.integers(1, 4),
)
def test_panels_of_all_parts_cover_each_pixel_once(tiling, height, width, greatest_width, parts):
    seen = np.zeros((height, width), int)
    for part in range(parts):
        found = panels(tiling, height, width, greatest_width=greatest_width, part=part, parts=parts)
        for region in found:
            seen[slice(*region.rows), slice(*region.columns)] += 1
            for tiles, (first, stop) in (
                (region.tile_rows, region.rows),
                (region.tile_columns, region.columns),
            ):
                # Each tile that reaches into the pixels is among them.
                assert tiles.start == 0 or tiling.offset(tiles.start - 1) < first
                reach = tiling.offset(tiles.start - 1) + tiling.tile_size - tiling.margin
                assert tiles.start == 0 or reach <= first
                assert tiling.offset(tiles.stop) + tiling.margin >= stop or stop in (height, width)
    np.testing.assert_array_equal(seen, np.ones((height, width), int))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((32, -1, 0), "margin is -1 and overlap 0"),
        ((32, 0, 17), "of a tile of 32 pixels 32 are used, and at most half"),
        ((32, 16, 0), "margin is 16: nothing of a tile of 32 pixels is used; choose at most 15"),
        ((32, 12, 5), "8 are used, and at most half"),
    ],
)
def test_tiles_that_cannot_be_blended_are_refused(numbers, words):
    with pytest.raises(UserError, match=words):
        Tiling(*numbers)


def test_the_share_that_is_computed_twice():
    assert Tiling(64, 0, 0).share_computed_twice == 0
    assert Tiling(64, 0, 32).share_computed_twice == 3
