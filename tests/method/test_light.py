import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from noise2map_jax.method import light
from noise2map_jax.method.augment import Augmentation


def everywhere(images):
    return jnp.ones((*images.shape[:3], 1), bool)


def test_padding_does_not_bear_on_the_light_of_an_image():
    options = Augmentation(brightness=0.1, contrast=0.3)
    images = jax.random.uniform(jax.random.key(1), (20, 8, 8, 3), minval=-0.4, maxval=0.4)
    valid = everywhere(images).at[:, 5:].set(False).at[:, :, 6:].set(False)
    inside = np.asarray(valid)[..., 0]
    found = [
        np.asarray(light.jitter(options, jax.random.key(2), jnp.where(valid, images, fill), valid))[
            inside
        ]
        for fill in (-1.0, 1.0)
    ]
    np.testing.assert_array_equal(*found)
    none = jnp.zeros_like(valid)
    out = light.jitter(options, jax.random.key(2), images, none)  # nothing to divide by
    assert np.isfinite(out).all()
    options = Augmentation(contrast=0.3)  # there is no mean that it would be about
    out = light.jitter(options, jax.random.key(2), images, none)
    np.testing.assert_array_equal(out, images)


def test_contrast_is_about_the_mean_of_what_is_valid():
    options = Augmentation(contrast=0.5)
    images = jnp.tile(jnp.array([0.4, 0.2])[None, None, :, None], (3, 1, 1, 2))
    valid = jnp.zeros((3, 1, 2, 1), bool).at[:, 0, 0].set(True)  # a single pixel, its own mean
    out = np.asarray(light.jitter(options, jax.random.key(0), images, valid))
    np.testing.assert_allclose(out[:, 0, 0], np.full((3, 2), 0.4), rtol=1e-6)
    gain = (out[:, 0, 1] - 0.4) / -0.2
    assert np.all(np.abs(gain - 1) > 0.01)
    np.testing.assert_allclose(gain[:, 0], gain[:, 1], rtol=1e-5)
    assert len(np.unique(gain[:, 0])) == 3


def test_contrast_keeps_the_mean():
    options = Augmentation(contrast=0.5)
    images = jax.random.uniform(jax.random.key(1), (20, 4, 4, 3), minval=-0.3, maxval=0.5)
    out = light.jitter(options, jax.random.key(0), images, everywhere(images))
    np.testing.assert_allclose(
        out.mean(axis=(1, 2)).mean(axis=-1), images.mean(axis=(1, 2)).mean(axis=-1), atol=1e-6
    )


def test_light_is_clipped_to_the_range_of_the_network():
    options = Augmentation(brightness=0.5)
    images = jnp.tile(jnp.array([-0.9, 0.9])[None, :, None, None], (50, 1, 1, 1))
    out = np.asarray(light.jitter(options, jax.random.key(0), images, everywhere(images)))
    assert (out.min(), out.max()) == (-1, 1)


def test_jitter_stays_within_what_was_asked_for():
    options = Augmentation(brightness=0.2, contrast=0.5)
    images = jnp.tile(jnp.array([-0.5, 0.5])[None, :, None, None], (200, 4, 8, 3))
    out = np.asarray(light.jitter(options, jax.random.key(0), images, everywhere(images)))
    shift, gain = out.mean(axis=(1, 2, 3)), out.std(axis=(1, 2, 3)) / 0.5
    assert np.abs(shift).max() <= 0.2 + 1e-6
    assert shift.min() < -0.15
    assert shift.max() > 0.15
    assert gain.min() >= 0.5 - 1e-5
    assert gain.max() <= 1.5 + 1e-5
    assert gain.min() < 0.6
    assert gain.max() > 1.4
    assert np.abs(out).max() <= 1


def test_the_light_of_a_key_is_what_earlier_versions_gave_it():
    """A run that is continued must meet the light that it would have met."""
    options = Augmentation(brightness=0.5, contrast=0.5)
    images = jnp.array([-0.25, 0.25]).reshape(1, 1, 2, 1)
    out = light.jitter(options, jax.random.key(0), images, everywhere(images))
    np.testing.assert_allclose(np.ravel(out), GOLDEN_LIGHT, atol=1e-6)


GOLDEN_LIGHT = [0.215491, 0.469138]


def test_nothing_asked_for_changes_nothing():
    images = jax.random.uniform(jax.random.key(0), (4, 8, 8, 3), minval=-1.0)
    out = light.vary_light(Augmentation(), jax.random.key(0), images, everywhere(images))
    np.testing.assert_array_equal(out, images)


def test_each_band_of_each_image_has_its_own_colour():
    images = jnp.zeros((200, 3, 3, 4))
    options = Augmentation(colour=0.25)
    out = np.asarray(light.vary_light(options, jax.random.key(0), images, everywhere(images)))
    np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1, :1], out.shape))
    shifts = out[:, 0, 0]
    assert len(np.unique(shifts)) == 800
    assert (shifts.min() < -0.24, shifts.max() > 0.24, abs(shifts).max() <= 0.25) == (True,) * 3
    bright = light.vary_light(options, jax.random.key(0), images + 0.9, everywhere(images))
    assert float(bright.max()) == 1


def test_more_kinds_of_change_leave_the_draws_of_others():
    images = jax.random.uniform(jax.random.key(1), (5, 4, 4, 3), minval=-0.3, maxval=0.3)
    few, more = Augmentation(brightness=0.1), Augmentation(brightness=0.1, colour=1e-6)
    found = [
        light.vary_light(options, jax.random.key(0), images, everywhere(images))
        for options in (few, more)
    ]
    np.testing.assert_allclose(*found, atol=2e-6)


def test_blur_is_that_of_scipy_away_from_the_edge():
    images = jax.random.normal(jax.random.key(0), (2, 24, 24, 1))
    sigma = jnp.array([0.7, 1.5])
    out = light.blur(images, sigma, everywhere(images), largest=1.5)
    for image, deviation, found in zip(images, sigma, out, strict=True):
        expected = scipy.ndimage.gaussian_filter(
            np.asarray(image[..., 0], np.float64), float(deviation), radius=4
        )
        np.testing.assert_allclose(found[4:-4, 4:-4, 0], expected[4:-4, 4:-4], atol=1e-5)


def test_blur_of_nothing_keeps_the_image_and_blur_of_a_plain_one_does_too():
    images = jax.random.normal(jax.random.key(0), (1, 8, 8, 2))
    out = light.blur(images, jnp.zeros(1), everywhere(images), largest=1.0)
    np.testing.assert_allclose(out, images, atol=1e-6)
    plain = jnp.full((1, 8, 8, 2), 0.5)  # up to the edge
    np.testing.assert_allclose(
        light.blur(plain, jnp.ones(1), everywhere(plain), largest=1.0), plain, atol=1e-6
    )


def test_what_is_not_valid_has_no_part_in_a_blur():
    valid = jnp.ones((1, 8, 8, 1), bool).at[:, :, 5:].set(False)
    images = jnp.where(valid, 0.25, jnp.nan)
    out = np.asarray(light.blur(images, jnp.ones(1), valid, largest=1.0))
    np.testing.assert_allclose(out[:, :, :5], 0.25, atol=1e-6)
    assert np.isnan(out[:, :, 5:]).all()  # stays as it is


def test_images_are_blurred_by_different_amounts():
    images = jnp.tile(jax.random.normal(jax.random.key(0), (1, 16, 16, 1)), (40, 1, 1, 1)) / 9
    options = Augmentation(blur=2.0)
    out = light.vary_light(options, jax.random.key(0), images, everywhere(images))
    left = np.asarray(out.std(axis=(1, 2, 3))) / float(images.std())
    assert left.min() < 0.3  # what a blur of 1.5 to 2 pixels leaves of white noise
    assert left.max() > 0.9
    assert len(np.unique(left)) > 30
