import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from noise2map_jax.method.zoom import zoomed_classes, zoomed_crop


def a_scene(size=16, channels=2):
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, size, size, channels)))


def cut(images, corner, zoom, size, valid=None):
    valid = jnp.ones((*images.shape[:3], 1), bool) if valid is None else valid
    return zoomed_crop(images, jnp.array([corner]), jnp.array([zoom]), size, valid)


def test_at_scale_one_and_whole_corners_it_is_a_crop():
    images = a_scene()
    np.testing.assert_allclose(cut(images, (3.0, 5.0), 1.0, 7), images[:, 3:10, 5:12], atol=1e-6)


def test_enlarging_interpolates_as_scipy_does():
    images = a_scene()
    found = cut(images, (3.0, 5.5), 2.0, 8)
    rows = 3.0 + (np.arange(8) + 0.5) / 2 - 0.5
    columns = 5.5 + (np.arange(8) + 0.5) / 2 - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    for channel in range(2):
        expected = scipy.ndimage.map_coordinates(np.asarray(images[0, ..., channel]), grid, order=1)
        np.testing.assert_allclose(found[0, ..., channel], expected, atol=1e-5)


def test_shrinking_does_not_alias():
    """A chequerboard of single pixels becomes grey, its mean."""
    board = jnp.asarray((np.indices((32, 32)).sum(axis=0) % 2).astype(np.float32))
    found = cut(board[None, :, :, None], (4.0, 4.0), 0.5, 12)
    np.testing.assert_allclose(found, np.full((1, 12, 12, 1), 0.5), atol=0.02)


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(st.integers(0, 6), st.integers(0, 6), st.sampled_from([0.5, 1.0, 2.0]))
def test_images_and_classes_show_the_same_place(row, column, zoom):
    """Blocks of one value, larger than the kernel: away from their edges both agree."""
    blocks = np.kron(np.arange(16).reshape(4, 4), np.ones((8, 8)))[None, :, :, None]
    corners, zooms = jnp.array([[float(row), float(column)]]), jnp.array([zoom])
    size = 8
    classes = zoomed_classes(jnp.asarray(blocks, jnp.uint8), corners, zooms, size)
    everywhere = jnp.ones(blocks.shape, bool)
    values = zoomed_crop(jnp.asarray(blocks, jnp.float32), corners, zooms, size, everywhere)
    values, classes = np.asarray(values), np.asarray(classes)
    inside = np.zeros(classes.shape[1:3], bool)
    inside[1:-1, 1:-1] = True
    for axis in range(2):  # a neighbour of another value: the kernel mixes both
        for shift in (-1, 1):
            inside &= (np.roll(classes, shift, 1 + axis) == classes)[0, ..., 0]
    assert classes.dtype == np.uint8
    np.testing.assert_allclose(values[0, inside], classes[0, inside], atol=1e-3)
    centre = np.floor(np.array([row, column]) + 4.5 / zoom).astype(int)  # by hand, one pixel
    assert classes[0, 4, 4, 0] == blocks[0, centre[0], centre[1], 0]


def test_integers_are_rounded_and_keep_their_type():
    images = jnp.full((1, 8, 8, 1), 254, jnp.uint8).at[:, :, 4:].set(255)
    found = cut(images, (0.0, 2.0), 2.0, 8)
    assert found.dtype == jnp.uint8
    np.testing.assert_array_equal(found[0, 0, :, 0], [254] * 4 + [255] * 4)


@pytest.mark.parametrize("zoom", [0.5, 2.0])
def test_what_is_not_valid_gives_nothing_to_its_neighbours(zoom):
    valid = jnp.ones((1, 16, 16, 1), bool).at[:, :, 8:].set(False)
    images = jnp.where(valid, 0.25, 99.0)
    found = np.asarray(cut(images, (0.0, 0.0), zoom, 8, valid))
    seen = 0.5 * zoom * 16 if zoom < 1 else 8
    np.testing.assert_allclose(found[:, :, : int(seen)], 0.25, atol=1e-5)
    assert np.isfinite(found).all()
    nothing = jnp.zeros_like(valid)  # then there is nothing else to interpolate from
    np.testing.assert_allclose(cut(images[:, :, 8:], (0.0, 0.0), 2.0, 8, nothing[:, :, 8:]), 99.0)
