"""Augmentation of scale: random crops that are enlarged or shrunk, as pure functions."""

import jax
import jax.numpy as jnp

# Below this share of valid pixels under the kernel, a pixel is interpolated from all of them.
LEAST_VALID = 1e-3


def zoomed_crop(
    images: jax.Array, corners: jax.Array, zoom: jax.Array, size: int, valid: jax.Array
) -> jax.Array:
    """Cut squares of size / zoom pixels out of images and resample them to `size`.

    Bilinear; where the crop shrinks, the kernel grows with it, so nothing aliases. Pixels that are
    not valid take no part, except where no other is near.

    Args:
        images: [B, H, W, C], uint8, uint16 or float; integers are rounded.
        corners: [B, 2] float32, first row and column of each square, in pixels.
        zoom: [B] float32: 2 doubles the size of what is seen.
        size: S, side of the result in pixels.
        valid: [B, H, W, 1] bool.

    Returns:
        [B, S, S, C] of the same type.
    """

    def resample(image: jax.Array, corner: jax.Array, factor: jax.Array) -> jax.Array:
        return jax.image.scale_and_translate(
            image,
            (size, size, image.shape[-1]),
            (0, 1),
            jnp.stack([factor, factor]),
            -corner * factor,
            "linear",
        )

    resample_all = jax.vmap(resample)
    values = images.astype(jnp.float32)
    weight = resample_all(valid.astype(jnp.float32), corners, zoom)
    among_valid = resample_all(jnp.where(valid, values, 0.0), corners, zoom)
    found = jnp.where(
        weight > LEAST_VALID,
        among_valid / jnp.maximum(weight, LEAST_VALID),
        resample_all(values, corners, zoom),
    )
    if jnp.issubdtype(images.dtype, jnp.integer):
        limits = jnp.iinfo(images.dtype)
        found = jnp.clip(jnp.round(found), limits.min, limits.max)
    return found.astype(images.dtype)


def zoomed_classes(classes: jax.Array, corners: jax.Array, zoom: jax.Array, size: int) -> jax.Array:
    """Do the same to a map of classes: each pixel takes the class of the nearest.

    Args:
        classes: [B, H, W, C] integers.
        corners: as in `zoomed_crop`.
        zoom: as in `zoomed_crop`.
        size: S, side of the result in pixels.

    Returns:
        [B, S, S, C] of the same type.
    """
    centres = (jnp.arange(size) + 0.5)[None, :] / zoom[:, None]

    def nearest(axis: int) -> jax.Array:
        found = jnp.floor(corners[:, axis, None] + centres).astype(jnp.int32)
        return jnp.clip(found, 0, classes.shape[1 + axis] - 1)

    return jax.vmap(lambda image, rows, columns: image[rows][:, columns])(
        classes, nearest(0), nearest(1)
    )
