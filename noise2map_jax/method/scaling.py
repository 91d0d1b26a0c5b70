"""Scaling of sensor values to the network's range, on the device."""

import chex
import jax
import jax.numpy as jnp

Limit = float | tuple[float, ...]
ValueRange = tuple[Limit, Limit]


def scale_images(images: jax.Array, value_range: ValueRange) -> jax.Array:
    """Map [low, high] linearly to [-1, 1]; values outside are clipped.

    Args:
        images: [B, H, W, C], uint8 or uint16 as stored by the sensor.
        value_range: (low, high) in sensor units, each one number for all bands or C numbers.

    Returns:
        [B, H, W, C] float32.

    Raises:
        AssertionError: the images have no batch axis.
    """
    chex.assert_rank(images, 4)
    low, high = (
        jnp.broadcast_to(jnp.asarray(v, jnp.float32), images.shape[-1:]) for v in value_range
    )
    factor = 2.0 / (high - low)
    values = images.astype(jnp.float32)
    scaled = (values - _per_band(low)) * _per_band(factor) - 1.0
    return jnp.clip(scaled, -1.0, 1.0)


def _per_band(values: jax.Array) -> jax.Array:
    return values[None, None, None, :]
