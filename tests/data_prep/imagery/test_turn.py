"""Turns by quarters: pixels, windows and coordinates agree, and Exif tags mean what Pillow says."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from data_prep.imagery.turn import ALL, EXIF, UPRIGHT

PIXELS = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


@pytest.mark.parametrize("tag", EXIF)
def test_a_tag_turns_as_viewers_do(tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    seen = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    np.testing.assert_array_equal(EXIF[tag].apply(PIXELS), seen)
    assert EXIF[tag].size(5, 7) == seen.shape[:2]


@given(st.sampled_from(ALL), st.data())
def test_a_window_as_seen_is_read_from_the_stored_one(turn, data):
    seen = turn.apply(PIXELS)
    height, width = seen.shape[:2]
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows = data.draw(st.integers(1, height - row))
    columns = data.draw(st.integers(1, width - column))
    r, c, h, w = turn.stored_window((row, column, rows, columns), height, width)
    np.testing.assert_array_equal(
        turn.apply(PIXELS[r : r + h, c : c + w]), seen[row : row + rows, column : column + columns]
    )


@pytest.mark.parametrize("turn", ALL)
def test_coordinates_follow_the_pixels(turn):
    seen = turn.apply(PIXELS)
    height, width = seen.shape[:2]
    to_stored = turn.to_stored(height, width)
    for row in range(height):
        for column in range(width):
            x, y = to_stored * (column + 0.5, row + 0.5)
            np.testing.assert_array_equal(seen[row, column], PIXELS[int(y), int(x)])


def test_all_are_different_and_say_so():
    assert len({turn.apply(PIXELS).tobytes() + bytes(turn.size(5, 7)) for turn in ALL}) == 8
    assert len({turn.in_words() for turn in ALL}) == 8
    assert [turn for turn in ALL if not turn] == [UPRIGHT]
