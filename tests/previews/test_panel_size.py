import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax.previews.panel_size import panel_size

SIDES = st.integers(1, 10**6)


@given(SIDES, SIDES, st.sampled_from([3, 4]))
def test_a_panel_shows_the_scene_in_proportion_and_is_bounded(height, width, number):
    size = panel_size(height, width, number)
    assert number % size.columns == 0
    tall, wide = size.pixels
    assert tall * wide <= 2.5e6
    assert 1 <= size.cells[0] <= height
    assert 1 <= size.cells[1] <= width
    if size.zoom > 1:
        assert size.cells == (height, width)
    if min(size.cells) > 20:
        assert size.cells[1] / size.cells[0] == pytest.approx(width / height, rel=0.03)


@pytest.mark.parametrize(
    ("height", "width", "number", "columns"),
    [(500, 500, 3, 3), (500, 500, 4, 2), (200, 4000, 3, 1), (200, 4000, 4, 1), (4000, 200, 4, 4)],
)
def test_panels_lie_so_that_they_are_large(height, width, number, columns):
    assert panel_size(height, width, number).columns == columns
