"""Gaussian noise as a function of the place: tiles of a scene see the same where they overlap."""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def noise_field(
    draw: ArrayLike,
    scene: ArrayLike,
    row: ArrayLike,
    column: ArrayLike,
    shape: tuple[int, ...],
) -> jax.Array:
    """Draw the noise of a tile, in which each pixel's follows from where it lies in its scene.

    Args:
        draw: [] int32, which of several draws.
        scene: [] uint32, number of the scene: others have other noise.
        row: [] int32, of the tile's first pixel in the scene; negative before its edge.
        column: [] int32, likewise.
        shape: (H, W, C) of the tile.

    Returns:
        [H, W, C] float32, standard normal.
    """
    height, width, channels = shape
    numbered = jax.vmap(jax.random.fold_in, (None, 0))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), draw), scene)
    of_rows = numbered(key, row + jnp.arange(height))
    of_pixels = jax.vmap(numbered, (0, None))(of_rows, column + jnp.arange(width))
    normal = functools.partial(jax.random.normal, shape=(channels,), dtype=jnp.float32)
    return jax.vmap(jax.vmap(normal))(of_pixels)
