"""Noise by place: what each pixel gets depends on where it lies, and on nothing else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.method.noise_field import noise_field

SIZE = 24
field = jax.jit(functools.partial(noise_field, shape=(SIZE, SIZE, 2)))


@functools.cache
def scene_of(first, size):
    """The noise of a whole scene, whose first pixel is at `first` in both directions."""
    return np.asarray(noise_field(1, 7, first, first, (size, size, 2)))


@settings(deadline=None, max_examples=30)
@given(row=st.integers(-30, 60), column=st.integers(-30, 60))
def test_a_tile_sees_the_noise_of_its_part_of_the_scene(row, column):
    whole = scene_of(-30, 60 + 30 + SIZE)
    part = whole[row + 30 : row + 30 + SIZE, column + 30 : column + 30 + SIZE]
    np.testing.assert_array_equal(field(1, 7, row, column), part)


def test_it_is_standard_normal_and_no_two_pixels_hang_together():
    noise = np.asarray(noise_field(0, 0, 0, 0, (200, 200, 2)))
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / noise.size)
    others = {
        "next row": (noise[1:], noise[:-1]),
        "next column": (noise[:, 1:], noise[:, :-1]),
        "diagonal": (noise, noise.swapaxes(0, 1)),
        "channel": (noise[..., 0], noise[..., 1]),
        "next tile": (noise[:100], noise[100:]),
        "draw": (noise, noise_field(1, 0, 0, 0, (200, 200, 2))),
        "scene": (noise, noise_field(0, 1, 0, 0, (200, 200, 2))),
        "scene as draw": (noise_field(1, 0, 0, 0, (200, 200, 2)), scene_of(0, 200)),
    }
    for name, (one, other) in others.items():
        one, other = np.ravel(one), np.ravel(other)
        if name == "diagonal":  # which are the same pixels
            one, other = one[one != other], other[one != other]
        bound = 5 / np.sqrt(one.size)
        assert abs(np.corrcoef(one, other)[0, 1]) < bound, name


def test_numbers_of_scenes_use_all_of_their_bits():
    high, low = (field(0, jnp.uint32(scene), 0, 0) for scene in (2**32 - 1, 2**31 - 1))
    assert np.all(high != low)


def test_a_pixel_gets_the_noise_that_earlier_versions_gave_it():
    """If this moves, scores through Gaussian noise no longer compare with those written before."""
    np.testing.assert_allclose(noise_field(1, 7, 3, -2, (1, 1, 2))[0, 0], GOLDEN, rtol=1e-5)


GOLDEN = [0.78906757, -0.13131545]
