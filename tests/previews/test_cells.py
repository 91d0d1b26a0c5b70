import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.previews import cells
from noise2map_jax.previews.cells import cell_means

SIZES = st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_each_pixel_is_read_once_and_counts_in_one_cell(rows, columns, window, seed):
    rng = np.random.default_rng(seed)
    (height, lattice_rows), (width, lattice_columns) = rows, columns
    values = rng.integers(0, 2**16, (height, width, 2)).astype(np.uint16)
    valid = rng.random((height, width)) < 0.6
    seen = np.zeros((height, width), int)

    def read(window):
        row, column, tall, wide = window
        cut = slice(row, row + tall), slice(column, column + wide)
        seen[cut] += 1
        return values[cut], valid[cut]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "_ROWS", window)
        patch.setattr(cells, "_COLUMNS", window)
        means, known = cell_means(read, (height, width), (lattice_rows, lattice_columns))
    assert (seen == 1).all()
    for i in range(lattice_rows):
        for j in range(lattice_columns):
            inside = (
                slice(i * height // lattice_rows, (i + 1) * height // lattice_rows),
                slice(j * width // lattice_columns, (j + 1) * width // lattice_columns),
            )
            pixels = values[inside][valid[inside]]
            assert known[i, j] == (len(pixels) > 0)
            expected = pixels.mean(axis=0) if len(pixels) else 0
            np.testing.assert_allclose(means[i, j], expected, rtol=1e-5)


def test_windows_are_bounded():
    largest = []

    def read(window):
        largest.append(window[2:])
        return np.zeros((*window[2:], 1), np.uint8), np.ones(window[2:], bool)

    cell_means(read, (5000, 9000), (50, 90))
    assert max(height for height, _ in largest) <= 512
    assert max(width for _, width in largest) <= 4096
    assert len(largest) == 10 * 3
