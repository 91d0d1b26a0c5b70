"""Augmentation of light: brightness and contrast, as pure functions of a key."""

import jax
import jax.numpy as jnp

from noise2map_jax.method.augment import Augmentation


def jitter(
    augmentation: Augmentation, key: jax.Array, images: jax.Array, valid: jax.Array
) -> jax.Array:
    """Vary brightness and contrast of each image independently, as light and season do.

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
