"""Convolutions: values, gradients and what is lowered where, against JAX's own."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from noise2map_jax.network.convolution import conv_general_dilated, kernel_gradient
from noise2map_jax.network.layers import Conv

NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
ORDINARY = {  # what Flax asks for
    "lhs_dilation": (1, 1),
    "rhs_dilation": (1, 1),
    "dimension_numbers": NHWC,
    "feature_group_count": 1,
    "precision": None,
}


def draw(seed, *shapes, dtype=jnp.float32):
    rng = np.random.default_rng(seed)  # JAX would compile for each shape
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def value_and_gradients(convolve, images, kernel, *arguments, **options):
    """Return what a convolution gives, and both gradients for some gradient of that."""
    convolve = functools.partial(convolve, **ORDINARY | options)

    @jax.jit
    def all_of(images, kernel):
        value, backward = jax.vjp(lambda x, k: convolve(x, k, *arguments), images, kernel)
        return value, *backward(draw(9, value.shape, dtype=value.dtype)[0])

    return all_of(images, kernel)


jitted_kernel_gradient = jax.jit(kernel_gradient, static_argnums=(2, 3))


@settings(max_examples=15, deadline=None)  # each compiles
@given(st.data())
def test_the_gradient_of_a_kernel_is_a_sum_of_outer_products(data):
    number = functools.partial(st.integers, 1)
    kernel_size = data.draw(st.tuples(number(4), number(3)))
    padding = tuple(data.draw(st.tuples(*[st.integers(-2, k + 2)] * 2)) for k in kernel_size)
    batch, height, width, channels, features = data.draw(
        st.tuples(number(3), number(9), number(9), number(3), number(3))
    )
    sizes = zip((height, width), padding, kernel_size, strict=True)
    assume(all(size + sum(zeros) >= k and size + min(zeros) > 0 for size, zeros, k in sizes))
    images, kernel = draw(0, (batch, height, width, channels), (*kernel_size, channels, features))
    height, width = (
        size + sum(zeros) - k + 1
        for size, zeros, k in zip((height, width), padding, kernel_size, strict=True)
    )
    (gradient,) = draw(1, (batch, height, width, features))
    # Not against JAX: XLA's gradient is wrong on CPUs for a 1 x 1 kernel and padding of -1 and 1.
    more = [(0, 0), *((max(0, a), max(0, b)) for a, b in padding), (0, 0)]
    padded = np.pad(images, more)
    top, left = (max(0, -before) for before, _ in padding)  # negative padding cuts off
    wanted = np.zeros(kernel.shape, np.float32)
    for i, j in np.ndindex(*kernel_size):
        rows, columns = slice(top + i, top + i + height), slice(left + j, left + j + width)
        wanted[i, j] = np.einsum("bhwc,bhwd->cd", padded[:, rows, columns], gradient)
    seen = jitted_kernel_gradient(images, gradient, kernel_size, padding)
    np.testing.assert_allclose(seen, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "padding", "options"),
    [
        ((3, 3), (1, 1), ((1, 1), (1, 1)), {}),
        ((1, 1), (1, 1), "SAME", {}),
        ((3, 2), (1, 1), "same", {}),
        ((3, 3), (1, 1), ((2, 0), (0, 2)), {}),
        ((3, 3), (1, 1), "VALID", {}),
        ((9, 9), (1, 1), "VALID", {}),  # nothing is left of the images
        ((3, 3), (2, 2), ((0, 1), (0, 1)), {}),
        ((3, 3), (1, 1), ((1, 1), (1, 1)), {"lhs_dilation": (2, 2)}),
        ((3, 3), (1, 1), "SAME", {"rhs_dilation": (2, 1)}),
        ((3, 3), (1, 1), "SAME", {"feature_group_count": 2}),
        ((3, 3), (1, 1), "SAME", {"batch_group_count": 2}),
        ((2, 2), (1, 1), "SAME", {"dimension_numbers": ("NHWC", "HWOI", "NHWC")}),
        ((3, 3), (1, 1), "SAME", {"preferred_element_type": jnp.float32}),
    ],
)
def test_values_and_gradients_are_jaxs_own(kernel_size, strides, padding, options, dtype):
    channels = 32 // options.get("feature_group_count", 1)
    images, kernel = draw(2, (2, 8, 6, 32), (*kernel_size, channels, 32), dtype=dtype)
    arguments = (images, kernel, strides, padding)
    seen = value_and_gradients(conv_general_dilated, *arguments, **options)
    wanted = value_and_gradients(lax.conv_general_dilated, *arguments, **options)
    precision = (
        {"rtol": 1e-4, "atol": 1e-3} if dtype == jnp.float32 else {"rtol": 0.02, "atol": 0.3}
    )
    for a, b in zip(seen, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.astype(jnp.float32), b.astype(jnp.float32), **precision)


def test_a_precision_is_kept():
    images, kernel = draw(2, (2, 8, 6, 4), (3, 3, 4, 4))
    convolve = functools.partial(
        conv_general_dilated, **ORDINARY | {"precision": lax.Precision.HIGHEST}
    )
    lowered = jax.jit(lambda x, k: convolve(x, k, (1, 1), "SAME")).lower(images, kernel)
    assert "HIGHEST" in lowered.as_text()


def test_several_networks_at_once():
    images, kernels = draw(3, (3, 2, 8, 8, 32), (3, 3, 3, 32, 40))
    same = ((1, 1), "SAME")
    seen = jax.vmap(lambda x, k: value_and_gradients(conv_general_dilated, x, k, *same))(
        images, kernels
    )
    for member in range(3):
        wanted = value_and_gradients(
            lax.conv_general_dilated, images[member], kernels[member], *same
        )
        for a, b in zip(seen, wanted, strict=True):
            np.testing.assert_allclose(a[member], b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("platform", "products"), [("cpu", 3), ("tpu", 0), ("cuda", 0)])
def test_only_cpus_get_products(platform, products):
    images, kernel = draw(4, (2, 8, 8, 32), (3, 3, 32, 32))

    def convolutions(layer):
        def loss(kernel):
            params = {"kernel": kernel, "bias": jnp.zeros(32)}
            return jnp.sum(layer.apply({"params": params}, images) ** 2)

        lowered = jax.jit(jax.grad(loss)).trace(kernel).lower(lowering_platforms=(platform,))
        lines = [line.strip() for line in lowered.as_text().splitlines()]
        # Without the number of the line and of its operands.
        found = [line.split(" dim_numbers")[1] for line in lines if "stablehlo.convolution" in line]
        return found, sum("dot_general" in line for line in lines)

    seen, number = convolutions(Conv(32, (3, 3), padding=1))
    own, _ = convolutions(nn.Conv(32, (3, 3), padding=1))
    assert number == products
    assert seen == (own[:1] if platform == "cpu" else own)
    assert len(own) == 2
