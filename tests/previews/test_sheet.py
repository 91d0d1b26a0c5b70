import dataclasses

import numpy as np
import pytest

from noise2map_jax.previews.scale_bar import ScaleBar
from noise2map_jax.previews.sheet import Sheet, draw_sheet

GREEN, BLUE = (0, 200, 0), (0, 0, 200)


def a_sheet(**changes):
    panels = [(np.full((80, 120, 3), shade, np.uint8), f"panel {shade}") for shade in (70, 150)]
    sheet = Sheet("t", "s", panels, 2, [(GREEN, "wood")], ScaleBar(150.0, "5 m"), (0.0, -1.0))
    return dataclasses.replace(sheet, **changes)


def pixels(sheet, colour=None):
    picture = np.asarray(draw_sheet(sheet)).astype(int)
    return picture if colour is None else (picture == colour).all(-1)


@pytest.mark.parametrize("columns", [1, 2])
def test_each_panel_is_there_in_whole(columns):
    places = [np.argwhere(pixels(a_sheet(columns=columns), shade)) for shade in (70, 150)]
    for place in places:
        # Smoothed letters may have the shade of a panel, one by one.
        rows, columns_of = (np.bincount(axis, minlength=2000) for axis in place.T)
        assert (rows >= 120).sum() == 80
        assert (columns_of >= 80).sum() == 120


def test_legends_of_many_and_long_names_stay_on_the_sheet():
    legend = [((k, 255 - k, 99), f"class {k} " * (1 + 20 * (k == 3))) for k in range(1, 30)]
    picture = draw_sheet(a_sheet(legend=legend))
    found = np.asarray(picture)
    tops = []
    for colour, _ in legend:
        rows, columns = np.nonzero((found == colour).all(-1))
        assert (np.ptp(rows), np.ptp(columns)) == (14, 14)
        tops.append((rows.min(), columns.min()))
    assert len(set(tops)) == len(legend)
    white = (255, 255, 255)
    for edge in (found[:10], found[-10:], found[:, :10], found[:, -10:]):
        assert (edge == white).all()


def test_long_titles_keep_their_beginning_and_end():
    short, long = (pixels(a_sheet(title=text)) for text in ("abc", "abc" * 300))
    assert short.shape == long.shape
    assert (long[:, -15:] == 255).all()


@pytest.mark.parametrize("north", [(0.0, -1.0), (1.0, 0.0), (-0.6, 0.8)])
def test_the_arrow_points_north(north):
    with_arrow, without = (pixels(a_sheet(north=n)) for n in (north, None))
    corner = (with_arrow[-85:, -76:-1] < 200).any(-1)
    rows, columns = np.nonzero(corner)
    centre = np.array([rows.mean(), columns.mean()])
    far = np.array([rows, columns]).T - centre
    along = far @ np.array([north[1], north[0]])
    across = far @ np.array([north[0], -north[1]])
    tail, tip = along < np.quantile(along, 0.3), along > 0
    assert np.ptp(across[tail]) > 14  # two wings
    assert along[tip].max() > -along.min()  # the letter lies beyond the point
    assert without.shape == with_arrow.shape


def test_the_bar_is_as_long_as_it_says():
    dark = pixels(a_sheet(legend=[], north=None), (34, 34, 34))
    longest = max(dark.sum(axis=1))
    assert longest == pytest.approx(151, abs=1)
