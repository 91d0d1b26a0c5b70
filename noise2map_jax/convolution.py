"""Convolutions whose kernel gets its gradient quickly on CPUs.

XLA computes the gradient of a kernel as a convolution with the whole image for a window. On a CPU
that takes two to five times as long as the convolution itself; matrix products of shifted images
give the same sums sooner (benchmarks/NOTES.md). Elsewhere XLA's own is taken.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_Padding = tuple[tuple[int, int], tuple[int, int]]  # zeros before and after rows and columns


def conv_general_dilated(
    lhs: jax.Array, rhs: jax.Array, window_strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """Convolve images with a kernel; for `flax.linen.Conv`, which calls it in this way.

    Args:
        lhs: images [B, H, W, C].
        rhs: the kernel [K, L, C, D].
        window_strides: pixels from window to window along rows and columns.
        padding: as in `jax.lax.conv_general_dilated`.
        options: the other arguments of that function. Only a kernel that is moved pixel by pixel
            over undilated images, ungrouped, gets the quick gradient.

    Returns:
        Images [B, H', W', D].
    """
    ones = (1, 1)
    steps = (window_strides, options.get("lhs_dilation"), options.get("rhs_dilation"))
    plain = options.get("feature_group_count", 1) == 1 and options.get("precision") is None
    if not plain or any(tuple(step or ones) != ones for step in steps):
        return lax.conv_general_dilated(lhs, rhs, window_strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], ones, padding)
    return _convolve(lhs, rhs, tuple((before, after) for before, after in padding))


def _plain(images: jax.Array, kernel: jax.Array, padding: _Padding) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=numbers)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(images: jax.Array, kernel: jax.Array, padding: _Padding) -> jax.Array:
    return _plain(images, kernel, padding)


def _forward(images: jax.Array, kernel: jax.Array, padding: _Padding) -> tuple[jax.Array, Any]:
    return _plain(images, kernel, padding), (images, kernel)


def _backward(padding: _Padding, saved: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    _, image_gradient = jax.vjp(lambda x: _plain(x, kernel, padding), images)

    def of_xla(images: jax.Array, gradient: jax.Array) -> jax.Array:
        _, kernel_gradient = jax.vjp(lambda k: _plain(images, k, padding), kernel)
        return kernel_gradient(gradient)[0]

    of_products = functools.partial(kernel_gradient, kernel_size=kernel.shape[:2], padding=padding)
    return image_gradient(gradient)[0], lax.platform_dependent(
        images, gradient, cpu=of_products, default=of_xla
    )


_convolve.defvjp(_forward, _backward)


def kernel_gradient(
    images: jax.Array, gradient: jax.Array, kernel_size: tuple[int, int], padding: _Padding
) -> jax.Array:
    """Return the gradient of a kernel as one matrix product for each of its rows.

    Entry [i, j] is the sum over b, h, w of the outer product of images[b, h + i, w + j], after
    padding, with gradient[b, h, w]. A product takes the images shifted by i rows, and beside each
    other, as channels, the gradients shifted by every j: these are fewer copies than shifting the
    images for every i and j, and wide enough for the product to be quick.

    Args:
        images: [B, H, W, C].
        gradient: of what the convolution gave, [B, H', W', D].
        kernel_size: K and L.
        padding: zeros around the images, of rows and of columns.

    Returns:
        [K, L, C, D].
    """
    (rows, columns), (of_rows, (before, after)) = kernel_size, padding
    width, channels = images.shape[2:]
    height, _, features = gradient.shape[1:]
    images = _pad(images, 1, of_rows)
    gradient = _pad(gradient, 2, (columns - 1 - before, columns - 1 - after))
    starts = range(columns - 1, -1, -1)
    shifted = [lax.slice_in_dim(gradient, start, start + width, axis=2) for start in starts]
    beside = jnp.concatenate(shifted, axis=-1)
    products = [
        jnp.einsum("bhwc,bhwd->cd", lax.slice_in_dim(images, row, row + height, axis=1), beside)
        for row in range(rows)
    ]
    return jnp.stack(products).reshape(rows, channels, columns, features).swapaxes(1, 2)


def _pad(images: jax.Array, axis: int, zeros: tuple[int, int]) -> jax.Array:
    """Add zeros before and after an axis; less than none takes entries away."""
    widths = [(0, 0, 0)] * images.ndim
    widths[axis] = (*zeros, 0)
    return lax.pad(images, jnp.zeros((), images.dtype), widths)
