"""Convolutions: values, gradients and what is lowered where, against JAX's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from noise2map_jax.convolution import conv_general_dilated, kernel_gradient
from noise2map_jax.layers import Conv

NUMBERS = ("NHWC", "HWIO", "NHWC")


def draw(seed, *shapes, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return [jax.random.normal(k, shape, dtype) for k, shape in zip(keys, shapes, strict=True)]


def value_and_gradients(convolve, images, kernel, *arguments, **options):
    """Return what a convolution gives, and both gradients for some gradient of that."""
    convolve = functools.partial(convolve, **{"dimension_numbers": NUMBERS} | options)
    value, backward = jax.vjp(lambda x, k: convolve(x, k, *arguments), images, kernel)
    return value, *backward(draw(9, value.shape, dtype=value.dtype)[0])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_gradient_of_a_kernel_is_jaxs_own(data):
    number = functools.partial(st.integers, 1)
    kernel_size = data.draw(st.tuples(number(4), number(3)))
    padding = tuple(data.draw(st.tuples(*[st.integers(0, k - 1)] * 2)) for k in kernel_size)
    batch, *side, channels, features = data.draw(
        st.tuples(number(3), number(9), number(9), number(3), number(3))
    )
    side = [max(a, b) for a, b in zip(side, kernel_size, strict=True)]
    images, kernel = draw(0, (batch, *side, channels), (*kernel_size, channels, features))
    convolve = functools.partial(lax.conv_general_dilated, images, dimension_numbers=NUMBERS)
    value, backward = jax.vjp(lambda k: convolve(k, (1, 1), padding), kernel)
    (gradient,) = draw(1, value.shape)
    seen = kernel_gradient(images, gradient, kernel_size, padding)
    np.testing.assert_allclose(seen, backward(gradient)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "padding", "options"),
    [
        ((3, 3), (1, 1), ((1, 1), (1, 1)), {}),
        ((1, 1), (1, 1), "SAME", {}),
        ((3, 2), (1, 1), "SAME", {"lhs_dilation": (1, 1)}),
        ((3, 3), (1, 1), ((2, 0), (0, 2)), {}),
        ((3, 3), (1, 1), "VALID", {}),
        ((3, 3), (2, 2), ((0, 1), (0, 1)), {}),
        ((3, 3), (1, 1), "SAME", {"rhs_dilation": (2, 1)}),
        ((3, 3), (1, 1), "SAME", {"feature_group_count": 2}),
        ((3, 3), (1, 1), "SAME", {"precision": lax.Precision.HIGHEST}),
    ],
)
def test_values_and_gradients_are_jaxs_own(kernel_size, strides, padding, options, dtype):
    channels = 4 // options.get("feature_group_count", 1)
    images, kernel = draw(2, (2, 8, 6, 4), (*kernel_size, channels, 6), dtype=dtype)
    arguments = (images, kernel, strides, padding)
    seen = value_and_gradients(conv_general_dilated, *arguments, **options)
    wanted = value_and_gradients(lax.conv_general_dilated, *arguments, **options)
    precision = (
        {"rtol": 1e-4, "atol": 1e-4} if dtype == jnp.float32 else {"rtol": 0.02, "atol": 0.1}
    )
    for a, b in zip(seen, wanted, strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a.astype(jnp.float32), b.astype(jnp.float32), **precision)


def test_several_networks_at_once():
    images, kernels = draw(3, (3, 2, 8, 8, 4), (3, 3, 3, 4, 5))
    same = ((1, 1), "SAME")
    seen = jax.vmap(lambda x, k: value_and_gradients(conv_general_dilated, x, k, *same))(
        images, kernels
    )
    for member in range(3):
        wanted = value_and_gradients(
            lax.conv_general_dilated, images[member], kernels[member], *same
        )
        for a, b in zip(seen, wanted, strict=True):
            np.testing.assert_allclose(a[member], b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("platform", "products"), [("cpu", 3), ("tpu", 0), ("cuda", 0)])
def test_only_cpus_get_products(platform, products):
    images, kernel = draw(4, (2, 8, 8, 4), (3, 3, 4, 4))
    layer = Conv(4, (3, 3), padding=1)

    def loss(kernel):
        params = {"kernel": kernel, "bias": jnp.zeros(4)}
        return jnp.sum(layer.apply({"params": params}, images) ** 2)

    lowered = jax.jit(jax.grad(loss)).trace(kernel).lower(lowering_platforms=(platform,))
    assert lowered.as_text().count("dot_general") == products
    convolutions = lowered.as_text().count("stablehlo.convolution")
    assert convolutions == (1 if platform == "cpu" else 2)
