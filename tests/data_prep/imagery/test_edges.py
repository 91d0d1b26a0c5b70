import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_prep.imagery import edges


@given(offset=st.integers(-40, 40), length=st.integers(1, 40), size=st.integers(1, 12))
def test_mirroring_is_that_of_numpy(offset, length, size):
    padded = np.pad(np.arange(size), 100, mode="reflect") if size > 1 else np.zeros(201, int)
    np.testing.assert_array_equal(
        edges.mirrored(offset, length, size), padded[100 + offset : 100 + offset + length]
    )


@given(
    height=st.integers(2, 30),
    width=st.integers(2, 30),
    side=st.integers(1, 25),
    row=st.integers(0, 29),
    column=st.integers(0, 29),
)
def test_beyond_the_edges_a_window_holds_the_mirrored_image(height, width, side, row, column):
    image = np.arange(height * width * 2, dtype=np.uint16).reshape(height, width, 2)
    window = edges.cut_mirrored(image, row, column, side)
    whole = np.pad(image, ((0, 60), (0, 60), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(window, whole[row : row + side, column : column + side])
    assert window.flags.c_contiguous
    assert window.dtype == np.uint16


def test_an_image_of_one_pixel_fills_its_window():
    image = np.full((1, 1, 3), 7, np.uint8)
    np.testing.assert_array_equal(edges.cut_mirrored(image, 0, 0, 4), np.full((4, 4, 3), 7))
