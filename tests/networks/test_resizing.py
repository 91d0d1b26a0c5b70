"""PyTorch's conventions for sizes and edges."""

import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import Golden

from noise2map_jax.networks.resizing import cell_average, max_pool, repeat_pixels, resize


@pytest.fixture(scope="module")
def golden():
    return Golden("primitives")


@pytest.mark.parametrize("size", [(24, 16), (30, 20), (5, 7)])
@pytest.mark.parametrize("align_corners", [True, False])
def test_bilinear(golden, size, align_corners):
    y = resize(golden["x"], *size, align_corners=align_corners)
    name = f"bilinear_{size[0]}x{size[1]}_align_corners_{str(align_corners).lower()}"
    np.testing.assert_allclose(y, golden[name], atol=1e-5)


def test_nearest(golden):
    np.testing.assert_array_equal(repeat_pixels(golden["x"]), golden["nearest_24x16"])


@pytest.mark.parametrize("cells", [1, 2, 3, 6])
def test_averages_of_cells(golden, cells):
    averages = cell_average(golden["x"], cells)
    np.testing.assert_allclose(averages, golden[f"adaptive_average_{cells}"], atol=1e-6)


def test_there_may_be_more_cells_than_pixels(golden):
    averages = cell_average(golden["x"][:, :3, :2], 6)
    np.testing.assert_allclose(averages, golden["adaptive_average_6_of_3x2"], atol=1e-6)


def test_sums_of_cells_are_float32():
    x = jnp.ones((1, 64, 64, 1), jnp.bfloat16)  # sums of bfloat16 would end at 256
    assert cell_average(x, 1).item() == 1


def test_maximum(golden):
    y = max_pool(golden["x"])
    np.testing.assert_array_equal(y, golden["max_3_stride_2_padding_1"])
