"""Gaussian noise as a function of position: overlapping tiles of a scene share their noise."""

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
    """Draw the noise of a tile; each pixel's noise follows from its position in the scene.

    Args:
        draw: [] int32, number of the draw.
        scene: [] uint32, number of the scene; another scene has other noise.
        row: [] int32, row of the tile's first pixel in the scene; may be negative.
        column: [] int32, column of the tile's first pixel in the scene; may be negative.
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
