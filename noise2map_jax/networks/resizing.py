"""Resizing and pooling with PyTorch's conventions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.network.resampling import resize_align_corners


def resize(x: jax.Array, height: int, width: int, *, align_corners: bool) -> jax.Array:
    """Resample [B, H, W, C] bilinearly to [B, height, width, C], without smoothing.

    Args:
        x: [B, H, W, C].
        height: rows of the result.
        width: columns of the result.
        align_corners: whether the centres of the corner pixels stay in place; otherwise the outer
            edges do.
    """
    if align_corners:
        return resize_align_corners(x, height, width)
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, "linear", antialias=False)


def repeat_pixels(x: jax.Array) -> jax.Array:
    """Double [B, H, W, C] in height and width; every pixel becomes four (nearest neighbour)."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def max_pool(x: jax.Array) -> jax.Array:
    """Take the maximum of 3x3 windows at every other pixel, as ResNets do."""
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


def cell_average(x: jax.Array, cells: int) -> jax.Array:
    """Average [B, H, W, C] in a grid of cells (PyTorch's `AdaptiveAvgPool2d`).

    Cell i of n takes the pixels from floor(i * size / n) to before ceil((i + 1) * size / n): cells
    overlap where n does not divide the size, and there may be more cells than pixels.

    Returns:
        [B, cells, cells, C], of the type of x; sums are float32.
    """
    rows, columns = (jnp.asarray(_cell_weights(size, cells)) for size in x.shape[1:3])
    averages = jnp.einsum(
        "ph,qw,bhwc->bpqc",
        rows,
        columns,
        x.astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    return averages.astype(x.dtype)


def _cell_weights(size: int, cells: int) -> np.ndarray:
    """Return [cells, size] float32 weights of averages; rows sum to 1."""
    weights = np.zeros((cells, size), np.float32)
    for cell in range(cells):
        start, stop = cell * size // cells, -((cell + 1) * size // -cells)
        weights[cell, start:stop] = 1 / (stop - start)
    return weights
