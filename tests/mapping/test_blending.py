import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.mapping.blending import Blend
from noise2map_jax.mapping.tiling import Tiling, panels


def blended(tiling, height, width, predict, valid, greatest_width, parts=1):
    """Blend what `predict(row, column)` returns for tiles that begin there, [H, W, C]."""
    result = np.full((height, width, predict(0, 0).shape[-1]), np.nan, np.float32)
    shown = np.zeros((height, width), bool)
    times = np.zeros((height, width), int)
    padded = np.pad(valid, ((0, tiling.tile_size), (0, tiling.tile_size)))
    every = (
        region
        for part in range(parts)
        for region in panels(
            tiling, height, width, greatest_width=greatest_width, part=part, parts=parts
        )
    )
    for region in every:
        blend = Blend(tiling, region, height, width, result.shape[-1])

        def take(strips):
            for strip in strips:
                place = (
                    slice(strip.row, strip.row + strip.valid.shape[0]),
                    slice(strip.column, strip.column + strip.valid.shape[1]),
                )
                result[place], shown[place] = strip.values, strip.valid
                times[place] += 1

        for row in region.tile_rows:
            top = tiling.offset(row) + tiling.margin
            take(blend.begin_row(row, padded[top : top + tiling.used, slice(*region.columns)]))
            for column in region.tile_columns:
                blend.add(column, predict(tiling.offset(row), tiling.offset(column)))
        take(blend.finish())
    assert (times == 1).all()
    np.testing.assert_array_equal(shown, valid)
    return result


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    margin=st.integers(0, 3),
    overlap=st.integers(0, 5),
    greatest_width=st.integers(1, 64),
)
@settings(max_examples=50)
def test_tiles_that_agree_give_what_they_say(height, width, margin, overlap, greatest_width):
    tiling = Tiling(16, margin, overlap)
    truth = np.random.default_rng(height).random((height + 40, width + 40, 2)).astype(np.float32)
    valid = truth[:height, :width, 0] > 0.3

    def predict(row, column):
        tile = np.full((16, 16, 2), np.nan, np.float32)  # what is not used may be anything
        used = slice(margin, 16 - margin)
        rows, columns = np.arange(row, row + 16)[used], np.arange(column, column + 16)[used]
        tile[used, used] = truth[np.ix_(rows, columns)]
        return tile

    found = blended(tiling, height, width, predict, valid, greatest_width=greatest_width)
    np.testing.assert_allclose(found, truth[:height, :width], atol=1e-5)


def test_tiles_that_differ_leave_no_step():
    tiling = Tiling(32, 0, 16)

    def predict(row, column):
        return np.full((32, 32, 1), (row // 16 + column // 16) % 2, np.float32)

    valid = np.ones((80, 80), bool)
    found = blended(tiling, 80, 80, predict, valid, greatest_width=80)[..., 0]
    assert found.min() < 0.1 < 0.9 < found.max()
    # A raised cosine over 16 pixels changes by pi / 32 a pixel at most.
    assert max(np.abs(np.diff(found, axis=axis)).max() for axis in (0, 1)) < 0.1
    cut = blended(
        Tiling(32, 0, 0), 80, 80, lambda r, c: predict(r // 2, c // 2), valid, greatest_width=80
    )
    assert np.abs(np.diff(cut[..., 0], axis=0)).max() == 1


def test_panels_and_parts_are_what_they_are_within_the_whole():
    tiling = Tiling(16, 1, 6)
    rng = np.random.default_rng(0)
    tiles = {}

    def predict(row, column):
        return tiles.setdefault((row, column), rng.random((16, 16, 2)).astype(np.float32))

    valid = np.ones((70, 50), bool)
    whole = blended(tiling, 70, 50, predict, valid, greatest_width=50)
    for width, parts in ((8, 1), (20, 3), (50, 5)):
        np.testing.assert_allclose(
            blended(tiling, 70, 50, predict, valid, greatest_width=width, parts=parts),
            whole,
            atol=1e-6,
        )
