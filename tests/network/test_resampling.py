import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noise2map_jax.network.resampling import interpolation_matrix, resize_align_corners


def nhwc(array):
    return jnp.asarray(np.moveaxis(array, 1, -1))


def test_equals_golden_values(golden):
    g = golden["resampling"]
    up = resize_align_corners(nhwc(g["x"]), 64, 64)
    np.testing.assert_allclose(up, nhwc(g["up4"]), atol=1e-5)
    down = resize_align_corners(nhwc(g["up4"]), 16, 16)
    np.testing.assert_allclose(down, nhwc(g["down4"]), atol=1e-5)


@example(size_in=5, size_out=2)
@example(size_in=15, size_out=42)  # the last position is 14.000000000000002
@given(size_in=st.integers(1, 40), size_out=st.integers(1, 80))
def test_rows_are_averages_and_corners_stay(size_in, size_out):
    matrix = interpolation_matrix(size_in, size_out)
    np.testing.assert_allclose(matrix.sum(axis=1), np.ones(size_out), rtol=1e-6)
    assert matrix.min() >= 0
    assert matrix[0, 0] == 1
    if size_out > 1:
        np.testing.assert_allclose(matrix[-1, -1], 1, rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(size_in=st.integers(2, 12), size_out=st.integers(2, 30))
def test_a_plane_stays_a_plane(size_in, size_out):
    ramp = jnp.linspace(-1, 1, size_in)
    image = (ramp[:, None] + 2 * ramp[None, :])[None, :, :, None]
    expected = jnp.linspace(-1, 1, size_out)
    expected = (expected[:, None] + 2 * expected[None, :])[None, :, :, None]
    found = resize_align_corners(image, size_out, size_out)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_images_keep_their_type():
    # Weights are rounded to it: those of a doubled pair, thirds, have 8 digits in bfloat16.
    image = jnp.array([0.0, 3.0], jnp.bfloat16)[None, :, None, None]
    found = resize_align_corners(image, 4, 1)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found[0, :, 0, 0], float), [0, 1, 2, 3], atol=0.01)


def test_rows_and_columns_are_not_exchanged():
    image = jax.random.normal(jax.random.key(0), (1, 4, 6, 2))
    found = resize_align_corners(image, 8, 6)
    assert found.shape == (1, 8, 6, 2)
    np.testing.assert_allclose(found[:, 0], image[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found[:, -1], image[:, -1], rtol=1e-6)
