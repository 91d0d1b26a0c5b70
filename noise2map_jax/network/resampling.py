"""Bilinear resampling with aligned corners, between a tile's size and the backbone's."""

import jax
import jax.numpy as jnp
import numpy as np


def interpolation_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Return the weights of linear interpolation that keeps the first and last samples in place.

    Output i lies at i * (size_in - 1) / (size_out - 1) of the input (`align_corners=True` of
    PyTorch's `Upsample`).

    Args:
        size_in: number of input samples along the axis.
        size_out: number of output samples along the axis.

    Returns:
        [size_out, size_in] float32; each row sums to 1 and has at most two weights.
    """
    step = (size_in - 1) / (size_out - 1) if size_out > 1 else 0.0
    position = np.arange(size_out) * step
    left = np.minimum(np.floor(position).astype(int), max(size_in - 2, 0))
    fraction = np.clip(position - left, 0, 1)  # rounding may move the last sample too far
    matrix = np.zeros((size_out, size_in))
    rows = np.arange(size_out)
    matrix[rows, left] = 1 - fraction
    matrix[rows, np.minimum(left + 1, size_in - 1)] += fraction
    return matrix.astype(np.float32)


def resize_align_corners(images: jax.Array, height: int, width: int) -> jax.Array:
    """Resample images bilinearly with aligned corners.

    This takes two matrix products instead of a gather, because accelerators are made for them.

    Args:
        images: [B, H, W, C] float.
        height: rows of the result.
        width: columns of the result.

    Returns:
        [B, height, width, C] of the same type.
    """
    # Highest precision, since the default of accelerators would round pixel values to bfloat16.
    for axis, size in ((1, height), (2, width)):
        if images.shape[axis] != size:
            matrix = jnp.asarray(interpolation_matrix(images.shape[axis], size), images.dtype)
            subscripts = "oh,bhwc->bowc" if axis == 1 else "ow,bhwc->bhoc"
            images = jnp.einsum(subscripts, matrix, images, precision=jax.lax.Precision.HIGHEST)
    return images
