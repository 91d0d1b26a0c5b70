"""From sensor values to the network's range, on the device."""

import jax
import jax.numpy as jnp


def scale_images(images: jax.Array, value_range: tuple[float, float]) -> jax.Array:
    """Map [low, high] linearly to [-1, 1]; values outside are clipped.

    Args:
        images: [B, H, W, C], uint8 or uint16 as stored by the sensor.
        value_range: (low, high) in sensor units.

    Returns:
        [B, H, W, C] float32.
    """
    low, high = value_range
    scaled = (images.astype(jnp.float32) - low) * (2.0 / (high - low)) - 1.0
    return jnp.clip(scaled, -1.0, 1.0)
