"""Transposed convolutions by phases, against convolutions of images with zeros between pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.networks.phases import transposed_convolution

pytestmark = pytest.mark.usefixtures("highest_precision")


def with_zeros(images, kernel, stride, padding, output_padding):
    before = kernel.shape[0] - 1 - padding
    return jax.lax.conv_general_dilated(
        images,
        kernel[::-1, ::-1],
        window_strides=(1, 1),
        padding=[(before, before + output_padding)] * 2,
        lhs_dilation=(stride, stride),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.parametrize(
    "geometry",  # size, stride, padding, output padding; the first four are those of the networks
    [
        (4, 2, 1, 0),
        (3, 2, 1, 1),
        (3, 1, 1, 0),
        (2, 2, 0, 0),
        (3, 2, 1, 0),
        (5, 3, 2, 2),
        (4, 3, 0, 0),
    ],
)
def test_values_and_gradients_are_those_of_images_with_zeros(geometry):
    size, *options = geometry
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.normal(keys[0], (2, 3, 2, 3))
    kernel = jax.random.normal(keys[1], (size, size, 3, 2))

    @jax.jit
    def both(images, kernel):
        results = []
        for function in (transposed_convolution, with_zeros):
            y, backward = jax.vjp(lambda x, k, f=function: f(x, k, *options), images, kernel)
            results.append((y, *backward(jax.random.normal(keys[2], y.shape))))
        return results

    for found, wanted in zip(*both(images, kernel), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_bfloat16():
    images, kernel = jnp.ones((1, 2, 2, 1), jnp.bfloat16), jnp.ones((4, 4, 1, 1), jnp.bfloat16)
    assert transposed_convolution(images, kernel, 2, 1).dtype == jnp.bfloat16
