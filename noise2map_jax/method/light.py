"""Augmentation of light: brightness, contrast, colour and blur, as pure functions of a key."""

import math

import jax
import jax.numpy as jnp

from noise2map_jax.method.augment import Augmentation

COLOUR_STREAM, BLUR_STREAM = 1, 2  # folded into the key, so that the draws of others stay
REACH = 2.5  # standard deviations of a Gaussian that the blur's kernel covers


def vary_light(
    augmentation: Augmentation, key: jax.Array, images: jax.Array, valid: jax.Array
) -> jax.Array:
    """Vary sharpness, brightness, contrast and colour of each image, as light and season do.

    Args:
        augmentation: the largest changes.
        key: a PRNG key; use another for each date, so that the dates of a pair differ in light.
        images: [B, H, W, C] float32, scaled to [-1, 1].
        valid: [B, H, W, 1] bool; what is not valid has no part in means and blurs.

    Returns:
        [B, H, W, C] float32, in [-1, 1].
    """
    if augmentation.blur:
        share = jax.random.uniform(jax.random.fold_in(key, BLUR_STREAM), images.shape[:1])
        images = blur(images, augmentation.blur * share, valid, augmentation.blur)
    images = jitter(augmentation, key, images, valid)
    if augmentation.colour:
        shape = (images.shape[0], 1, 1, images.shape[-1])
        drawn = jax.random.uniform(jax.random.fold_in(key, COLOUR_STREAM), shape, minval=-1.0)
        images = jnp.clip(images + augmentation.colour * drawn, -1.0, 1.0)
    return images


def jitter(
    augmentation: Augmentation, key: jax.Array, images: jax.Array, valid: jax.Array
) -> jax.Array:
    """Vary brightness and contrast of each image independently.

    Args:
        augmentation: the largest shift and relative change.
        key: a PRNG key; use another for each date, so that the dates of a pair differ in light.
        images: [B, H, W, C] float32, scaled to [-1, 1].
        valid: [B, H, W, 1] bool; contrast changes around the mean of these pixels. An image
            without valid pixels keeps its contrast.

    Returns:
        [B, H, W, C] float32, clipped to [-1, 1].
    """
    if augmentation.brightness == 0 and augmentation.contrast == 0:
        return images
    shape = (images.shape[0], 1, 1, 1)
    brightness_key, contrast_key = jax.random.split(key)
    shift = augmentation.brightness * jax.random.uniform(brightness_key, shape, minval=-1.0)
    gain = 1 + augmentation.contrast * jax.random.uniform(contrast_key, shape, minval=-1.0)
    count = jnp.sum(valid, axis=(1, 2), keepdims=True)
    mean = jnp.sum(images, axis=(1, 2), keepdims=True, where=valid) / jnp.maximum(count, 1)
    gain = jnp.where(count > 0, gain, 1.0)
    return jnp.clip((images - mean) * gain + mean + shift, -1.0, 1.0)


def blur(images: jax.Array, sigma: jax.Array, valid: jax.Array, largest: float) -> jax.Array:
    """Blur each image with a Gaussian of its own.

    Args:
        images: [B, H, W, C] float32.
        sigma: [B] float32, standard deviation of each image's kernel in pixels; 0 = unchanged.
        valid: [B, H, W, 1] bool; other pixels give nothing to the blur, and stay as they are.
        largest: the largest of `sigma`, which sets the size of the kernels.

    Returns:
        [B, H, W, C] float32.
    """
    reach = math.ceil(REACH * largest)
    offsets = range(-reach, reach + 1)
    exponent = -0.5 * jnp.square(jnp.array([offsets]) / jnp.maximum(sigma, 1e-3)[:, None])
    weights = jnp.exp(exponent)[:, :, None, None, None]  # [B, offsets, 1, 1, 1]

    def along(axis: int, values: jax.Array) -> jax.Array:
        room = [(reach, reach) if i == axis else (0, 0) for i in range(4)]
        padded, length = jnp.pad(values, room), values.shape[axis]
        total = jnp.zeros_like(values)
        for i in range(len(offsets)):
            total += weights[:, i] * jax.lax.slice_in_dim(padded, i, i + length, axis=axis)
        return total

    # Beyond the image's edge there is nothing, as beyond that of what is valid.
    weight = along(2, along(1, valid.astype(jnp.float32)))
    blurred = along(2, along(1, jnp.where(valid, images, 0.0)))
    return jnp.where(valid, blurred / jnp.where(valid, weight, 1.0), images)
