"""Strips of whole tiles, apart by the gap, and windows that cover a rectangle once."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.basics.errors import UserError
from data_prep.builders.strips import cut, windows


@pytest.mark.parametrize(
    ("length", "shares", "gap", "least", "expected"),
    [
        (512, (0.7, 0.1, 0.2), 64, 64, [(0, 256), (320, 384), (448, 512)]),
        (1000, (0.5, 0.5), 0, 1, [(0, 512), (512, 1000)]),
        (130, (0.9, 0.1), 0, 1, [(0, 128), (128, 130)]),
        (130, (0.9, 0.1), 0, 64, [(0, 64), (64, 130)]),
        (100, (1.0,), 64, 64, [(0, 100)]),
        (320, (0.98, 0.01, 0.01), 64, 64, [(0, 64), (128, 192), (256, 320)]),
    ],
)
def test_strips_worked_by_hand(length, shares, gap, least, expected):
    assert cut(length, shares, 64, gap=gap, least=least) == expected


def test_a_length_that_is_too_short_is_refused_with_both_numbers():
    with pytest.raises(UserError, match=r"^319 pixels cannot hold 3 strips .* of 64 .*: 320 are"):
        cut(319, (0.7, 0.1, 0.2), 64, gap=64, least=64)


@given(
    st.integers(1, 4000),
    st.lists(st.integers(1, 50), min_size=1, max_size=3),
    st.integers(1, 100),
    st.integers(0, 200),
)
def test_strips_lie_in_order_a_gap_apart_and_reach_both_ends(length, shares, tile, gap):
    needed = (len(shares) - 1) * (tile + gap) + tile
    if length < needed:
        with pytest.raises(UserError, match=f"{needed} are needed"):
            cut(length, shares, tile, gap=gap, least=tile)
        return
    strips = cut(length, shares, tile, gap=gap, least=tile)
    assert (strips[0][0], strips[-1][1]) == (0, length)
    assert all(last - first >= tile for first, last in strips)
    assert all((last - first) % tile == 0 for first, last in strips[:-1])
    between = itertools.pairwise(strips)
    assert all(after[0] - before[1] == gap for before, after in between)


def test_windows_cover_each_pixel_once():
    files = {"image": Path("a.tif")}
    scenes = [*windows("a", files, (2, 7), (10, 21), (2, 4), "val", "town")]
    covered = [
        (scene.window[0] + row, scene.window[1] + column)
        for scene in scenes
        for row in range(scene.height)
        for column in range(scene.width)
    ]
    assert sorted(covered) == [(row, column) for row in range(2, 7) for column in range(10, 21)]
    assert {(s.split, s.place, s.files["image"].name) for s in scenes} == {("val", "town", "a.tif")}
    assert len({scene.name for scene in scenes}) == len(scenes)
