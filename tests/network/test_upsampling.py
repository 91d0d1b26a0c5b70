"""Doubling and convolving at once, against one after the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from noise2map_jax.network.layers import Upsample
from noise2map_jax.network.upsampling import (
    by_phases,
    gradients_by_phases,
    gradients_by_stride,
    upsampled_convolution,
)


def one_after_the_other(images, kernel):
    doubled = jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)
    return lax.conv_general_dilated(
        doubled, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def draw(*shapes, seed=0, dtype=jnp.float32):
    rng = np.random.default_rng(seed)  # JAX would compile for each shape
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


number = st.integers(1, 5)


@functools.partial(jax.jit, static_argnums=0)
def gradients_of(function, images, kernel, gradient):
    _, backward = jax.vjp(function, images, kernel)
    return backward(gradient)


quick_by_phases = jax.jit(by_phases)
quick_ways = [jax.jit(way) for way in (gradients_by_stride, gradients_by_phases)]


@settings(max_examples=8, deadline=None)  # each compiles five programs
@given(st.tuples(number, number, number, number, number))
def test_values_and_gradients_are_those_of_one_after_the_other(sizes):
    batch, height, width, channels, features = sizes
    images, kernel = draw((batch, height, width, channels), (3, 3, channels, features))
    wanted = jax.jit(one_after_the_other)(images, kernel)
    (gradient,) = draw(wanted.shape, seed=1)
    np.testing.assert_allclose(quick_by_phases(images, kernel), wanted, rtol=1e-5, atol=1e-5)
    gradients = gradients_of(one_after_the_other, images, kernel, gradient)
    for way in quick_ways:
        for a, b in zip(way(images, kernel, gradient), gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_entries_are_added_in_float32():
    entries = [[0.0, 0.0, 0.0], [0.0, 256.0, 1.0], [0.0, 1.0, -256.0]]
    kernel = jnp.asarray(entries, jnp.bfloat16)[:, :, None, None]
    images = jnp.ones((1, 4, 4, 1), jnp.bfloat16)
    # Even rows and columns see the last four in one pixel; in bfloat16 257 is 256.
    seen = by_phases(images, kernel).astype(jnp.float32)[0, ::2, ::2, 0]
    np.testing.assert_array_equal(seen, jnp.full((4, 4), 2.0))
    one = jnp.zeros((1, 8, 8, 1), jnp.bfloat16).at[0, 4, 4, 0].set(1)
    of_images, _ = gradients_by_stride(images, kernel, one)
    assert of_images[0, 2, 2, 0] == 2


def test_the_layer_is_doubling_and_then_a_convolution():
    (images,) = draw((2, 6, 4, 16), seed=1)
    params = jax.jit(Upsample().init)(jax.random.key(3), images)["params"]
    assert jax.tree.map(jnp.shape, params) == {"conv": {"kernel": (3, 3, 16, 16), "bias": (16,)}}
    params["conv"]["bias"] = jnp.arange(16.0) / 16

    def gradients(layer):
        def loss(images, params):
            return jnp.sum(layer(images, params).astype(jnp.float32) ** 2)

        return jax.tree.leaves(jax.jit(jax.value_and_grad(loss, (0, 1)))(images, params))

    def ours(dtype):
        return gradients(lambda images, params: Upsample(dtype).apply({"params": params}, images))

    def plain(dtype):
        def layer(images, params):
            images, params = jax.tree.map(lambda a: a.astype(dtype), (images, params))
            bias = params["conv"]["bias"].reshape(1, 1, 1, -1)
            return one_after_the_other(images, params["conv"]["kernel"]) + bias

        return gradients(layer)

    def errors(seen):
        assert {leaf.dtype for leaf in seen} == {jnp.dtype(jnp.float32)}
        pairs = zip(seen, exact, strict=True)
        return np.array([jnp.linalg.norm(a - b) / jnp.linalg.norm(b) for a, b in pairs])

    exact = plain(jnp.float32)
    assert (errors(ours(jnp.float32)) < 1e-6).all()
    assert (errors(ours(jnp.bfloat16)) < 1.5 * errors(plain(jnp.bfloat16)) + 1e-4).all()
    result = Upsample(jnp.bfloat16).apply({"params": params}, images)
    assert result.dtype == jnp.bfloat16


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
def test_nothing_twice_as_large_is_convolved(platform):
    images, kernel = draw((2, 8, 8, 32), (3, 3, 32, 40))

    def convolve(images, kernel):
        return upsampled_convolution(images, kernel, (1, 1), ((1, 1), (1, 1)), **options())

    def convolutions(function):
        lowered = jax.jit(function).trace(images, kernel).lower(lowering_platforms=(platform,))
        return [line for line in lowered.as_text().splitlines() if "stablehlo.convolution" in line]

    found = convolutions(convolve)
    assert len(found) == 4
    assert all("(tensor<2x8x8x32xf32>" in line for line in found)
    if platform != "cpu":
        gradients = convolutions(jax.grad(lambda x, k: jnp.sum(convolve(x, k) ** 2), (0, 1)))
        assert len(gradients) == 6
        # That of the kernel has the smaller array for its window.
        assert sum("tensor<2x8x8x32xf32>) -> tensor<4x4x" in line for line in gradients) == 1


def test_several_networks_at_once():
    images, kernels = draw((3, 2, 4, 4, 8), (3, 3, 3, 8, 8))

    def gradients(images, kernel):
        def loss(images, kernel):
            result = upsampled_convolution(images, kernel, (1, 1), ((1, 1), (1, 1)), **options())
            return jnp.sum(result**2)

        return jax.grad(loss, (0, 1))(images, kernel)

    together, each = jax.jit(jax.vmap(gradients))(images, kernels), jax.jit(gradients)
    for member in range(3):
        alone = each(images[member], kernels[member])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[member], b, rtol=1e-4, atol=1e-3)


def options(**others):
    return {
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "dimension_numbers": lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
        "feature_group_count": 1,
        "precision": None,
    } | others


@pytest.mark.parametrize(
    ("size", "strides", "padding", "others"),
    [
        (5, (1, 1), ((1, 1), (1, 1)), {}),
        (3, (2, 2), ((1, 1), (1, 1)), {}),
        (3, (1, 1), ((0, 2), (1, 1)), {}),
        (3, (1, 1), "SAME", {}),
        (3, (1, 1), ((1, 1), (1, 1)), {"rhs_dilation": (2, 2)}),
    ],
)
def test_other_convolutions_are_done_one_after_the_other(size, strides, padding, others):
    images, kernel = draw((1, 4, 4, 2), (size, size, 2, 2))
    seen = upsampled_convolution(images, kernel, strides, padding, **options(**others))
    doubled = jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)
    wanted = lax.conv_general_dilated(doubled, kernel, strides, padding, **options(**others))
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("shape", [(0, 4, 4, 2), (1, 0, 4, 2), (1, 4, 0, 2)])
def test_of_nothing_comes_nothing(shape):
    images, kernel = draw(shape, (3, 3, 2, 3))

    def convolve(images, kernel):
        return upsampled_convolution(images, kernel, (1, 1), ((1, 1), (1, 1)), **options())

    seen, backward = jax.vjp(convolve, images, kernel)
    assert seen.shape == (shape[0], 2 * shape[1], 2 * shape[2], 3)
    assert [a.shape for a in backward(seen)] == [shape, (3, 3, 2, 3)]


@pytest.mark.parametrize("features", [32, 40])
def test_gradients_of_wide_kernels(features):
    """Of 1,024 channels times features CPUs take matrix products."""
    images, kernel, gradient = draw((2, 4, 6, 32), (3, 3, 32, features), (2, 8, 12, features))
    wanted = gradients_of(one_after_the_other, images, kernel, gradient)
    seen = jax.jit(gradients_by_phases)(images, kernel, gradient)
    for a, b in zip(seen, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)
