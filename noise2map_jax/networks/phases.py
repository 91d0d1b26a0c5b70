"""Transposed convolutions as ordinary ones, one for each phase of the result.

With stride s, every s-th row and column of the result sees the same entries of the kernel. So s * s
ordinary convolutions with those entries, whose results are interleaved, need no zeros between
pixels; and on a CPU, where XLA computes the gradient of a convolution with such zeros without its
fast routines, the gradients take a small part of the time.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from noise2map_jax.network.convolution import ORDINARY, conv_general_dilated


def transposed_convolution(
    images: jax.Array, kernel: jax.Array, stride: int, padding: int = 0, output_padding: int = 0
) -> jax.Array:
    """Add every pixel, times the kernel, to the result from row and column `stride` times its own.

    Args:
        images: [B, H, W, C].
        kernel: [K, K, C, D], K at least `stride`.
        stride: pixels of the result for a pixel of the images.
        padding: rows and columns that are cut off at each edge of the result.
        output_padding: how many of those at the lower and right edges are kept.

    Returns:
        [B, H', W', D] with H' = (H - 1) stride + K - 2 padding + output_padding, W' likewise.
    """
    batch, height, width, _ = images.shape
    size, _, _, features = kernel.shape
    assert size >= stride, (size, stride)
    if size == stride and padding == output_padding == 0:  # pixels do not overlap
        blocks = jnp.einsum("bhwc,klcd->bhkwld", images, kernel)
        return blocks.reshape(batch, height * size, width * size, features)

    cut = size - 2 * padding + output_padding
    rows, columns = ((side - 1) * stride + cut for side in (height, width))
    spread = []
    for row in range(stride):
        first_row, before_rows = _window(row, size, stride, padding, height, rows)
        for column in range(stride):
            first_column, before_columns = _window(column, size, stride, padding, width, columns)
            entries = kernel[first_row::stride, first_column::stride][::-1, ::-1]
            pads = (before_rows, before_columns)
            phase = conv_general_dilated(images, entries, (1, 1), pads, **ORDINARY)
            # Each part has zeros in place of the others, as in `upsampling.by_phases`.
            after = (stride - 1 - row, stride - 1 - column)
            between = ((0, 0, 0), (row, after[0], stride - 1), (column, after[1], stride - 1))
            zero = jnp.zeros((), images.dtype)
            spread.append(lax.pad(phase, zero, (*between, (0, 0, 0))))
    return functools.reduce(jnp.add, spread)[:, :rows, :columns]


def _window(
    phase: int, size: int, stride: int, padding: int, side: int, result: int
) -> tuple[int, tuple[int, int]]:
    """Return the first entry of the kernel that a phase sees, and its convolution's padding.

    Entry first + m * stride, added from pixel n - m, falls on row n * stride + first of the result
    before it is cut off. The phase's own first row has n = (phase + padding) // stride.
    """
    start, first = divmod(phase + padding, stride)
    entries = len(range(first, size, stride))
    before = entries - 1 - start
    number = -(-result // stride)  # rows of each phase; the last may be one too many
    return first, (before, number - side - before + entries - 1)
