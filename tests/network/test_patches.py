"""Patches: which pixel goes where, and what the network does with them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import UNET, drawn_params, initial_params

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import Head
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.network.patches import from_patches, to_patches

SIZES, SS = st.integers(1, 4), Head("ss", 3, 2)


def a_model(patch_size, **options):
    return Noise2Map(UNET, (SS,), patch_size=patch_size, **options)


@given(SIZES, SIZES, SIZES, SIZES, SIZES)
def test_each_pixel_of_a_patch_has_its_channels(batch, rows, columns, channels, p):
    x = np.arange(batch * rows * columns * channels * p * p, dtype=np.float32)
    x = x.reshape(batch, rows * p, columns * p, channels)
    found = to_patches(x, p)  # NumPy's arrays: nothing is compiled for each shape
    assert found.shape == (batch, rows, columns, p * p * channels)
    for i in range(p):
        for j in range(p):
            first = (i * p + j) * channels
            np.testing.assert_array_equal(found[..., first : first + channels], x[:, i::p, j::p])
    np.testing.assert_array_equal(from_patches(found, p), x)


def test_sides_that_do_not_fit_patches_and_levels_are_refused():
    two_levels = dataclasses.replace(
        UNET,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    model, t = Noise2Map(two_levels, (SS,), patch_size=2), jnp.zeros(1, jnp.int32)
    for height, width in ((16, 18), (6, 16), (5, 5)):  # the second can be divided into patches
        with pytest.raises(UserError, match=f"tiles of {height} x {width} .* multiples of 4"):
            model.init(jax.random.key(0), jnp.zeros((1, height, width, 3)), t, task="ss")


def test_the_backbone_sees_patches_and_the_map_has_pixels():
    model, x = a_model(2), jax.random.normal(jax.random.key(1), (2, 32, 16, 3))
    params = drawn_params(model, 16)
    assert params["ss_input_conv"]["kernel"].shape == (3, 3, 12, UNET.in_channels)
    assert params["ss_output_conv"]["kernel"].shape == (3, 3, UNET.out_channels, 8)
    apply = jax.jit(functools.partial(model.apply, task="ss"))
    out = apply({"params": params}, x, jnp.array([1, 2]))
    assert out.shape == (2, 32, 16, 2)
    assert out.dtype == jnp.float32
    # The same as a network without patches on patches.
    plain = Noise2Map(UNET, (Head("ss", 12, 8),))
    alike = jax.jit(functools.partial(plain.apply, task="ss"))
    expected = alike({"params": params}, to_patches(x, 2), jnp.array([1, 2]))
    np.testing.assert_allclose(out, from_patches(expected, 2), rtol=0, atol=1e-6)


def test_the_backbone_is_that_of_a_network_without_patches():
    one, two = (initial_params(a_model(p), 16)["unet"] for p in (1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_tiles_are_multiples_of_patches_at_every_level():
    assert a_model(2).stride == 2 * a_model(1).stride


def test_two_ways_to_lower_the_resolution_exclude_each_other():
    x, t = jnp.zeros((1, 32, 32, 3)), jnp.zeros(1, jnp.int32)
    with pytest.raises(UserError, match=r"sample_size is 16 and model\.patch_size 2.*32 x 32"):
        a_model(2, sample_size=16).init(jax.random.key(0), x, t, task="ss")
    a_model(2, sample_size=32).init(jax.random.key(0), x, t, task="ss")
