"""Convolutions with a fast gradient of the kernel on CPUs.

XLA computes the gradient of a kernel as a convolution whose window is the whole image. On a CPU
that takes up to five times as long as the convolution itself. Matrix products of shifted images
give the same sums faster for most shapes (benchmarks/NOTES.md). Other devices use XLA's gradient.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import lax

_Padding = tuple[tuple[int, int], tuple[int, int]]  # zeros before and after rows and columns

_FEW = 1024  # With fewer channels times features, XLA's own gradient is as fast on a CPU.

# The other options that Flax passes for an ordinary convolution.
ORDINARY: dict[str, Any] = {
    "lhs_dilation": (1, 1),
    "rhs_dilation": (1, 1),
    "dimension_numbers": lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
    "feature_group_count": 1,
    "precision": None,
}


def conv_general_dilated(
    lhs: jax.Array, rhs: jax.Array, window_strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """Convolve images with a kernel; the signature is that which `flax.linen.Conv` calls.

    Without strides, dilation or groups the kernel gets the fast gradient. That is a custom backward
    pass, so forward mode (`jax.jvp`) is not available and `jax.shard_map` needs `check_vma=False`.
    Gradients have the precision of the forward pass, as in JAX.

    Args:
        lhs: images [B, H, W, C].
        rhs: the kernel [K, L, C, D].
        window_strides: pixels from window to window along rows and columns.
        padding: as in `jax.lax.conv_general_dilated`.
        options: the other arguments of that function.

    Returns:
        Images [B, H', W', D].
    """
    precision = chosen_precision(options)
    convolve: Any = functools.partial(lax.conv_general_dilated, **options)
    ordinary = options | {"precision": None} == ORDINARY
    if lhs.ndim != 4 or tuple(window_strides) != (1, 1) or not ordinary:
        return convolve(lhs, rhs, window_strides, padding)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], (1, 1), padding)
    rows, columns = ((before, after) for before, after in padding)
    if 0 in jax.eval_shape(lambda x, k: convolve(x, k, (1, 1), padding), lhs, rhs).shape:
        return convolve(lhs, rhs, (1, 1), padding)
    return _convolve(lhs, rhs, (rows, columns), precision)


def chosen_precision(options: dict[str, Any]) -> Any:
    """Return the precision of a convolution; call this while the convolution is traced.

    JAX looks up its default when a product is traced. A custom backward pass is traced after
    `jax.default_matmul_precision` has ended, so it needs the precision as an argument.

    Args:
        options: the arguments of `jax.lax.conv_general_dilated`.
    """
    given, config = options.get("precision"), cast(Any, jax.config)  # its type declares no fields
    return config.jax_default_matmul_precision if given is None else given


def _by_xla(images: jax.Array, kernel: jax.Array, padding: _Padding, precision: Any) -> jax.Array:
    options = ORDINARY | {"precision": precision}
    return lax.conv_general_dilated(images, kernel, (1, 1), padding, **options)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(images: jax.Array, kernel: jax.Array, padding: _Padding, precision: Any) -> jax.Array:
    return _by_xla(images, kernel, padding, precision)


def _forward(
    images: jax.Array, kernel: jax.Array, padding: _Padding, precision: Any
) -> tuple[jax.Array, Any]:
    return _by_xla(images, kernel, padding, precision), (images, kernel)


def _backward(
    padding: _Padding, precision: Any, saved: Any, gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved

    def of_kernel(images: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.vjp(lambda k: _by_xla(images, k, padding, precision), kernel)[1](gradient)[0]

    *kernel_size, channels, features = kernel.shape
    of_images = jax.vjp(lambda x: _by_xla(x, kernel, padding, precision), images)[1]
    (image_gradient,) = of_images(gradient)
    if channels * features < _FEW:
        return image_gradient, of_kernel(images, gradient)
    products = functools.partial(
        kernel_gradient, kernel_size=kernel_size, padding=padding, precision=precision
    )
    return image_gradient, lax.platform_dependent(images, gradient, cpu=products, default=of_kernel)


_convolve.defvjp(_forward, _backward)


def kernel_gradient(
    images: jax.Array,
    gradient: jax.Array,
    kernel_size: Sequence[int],
    padding: _Padding,
    precision: Any = None,
) -> jax.Array:
    """Compute the gradient of a kernel with one matrix product for each of its rows.

    Entry [i, j] is the sum over b, h, w of the outer product of images[b, h + i, w + j], after
    padding, with gradient[b, h, w]. Each product takes the images shifted by i rows, and a stack of
    the gradients shifted by every j. This needs fewer copies than shifting the images for every i
    and j, and the stack is high enough for a fast product.

    Args:
        images: [B, H, W, C].
        gradient: gradient of the convolution's result, [B, H', W', D], not empty.
        kernel_size: K and L.
        padding: zeros before and after rows and columns of images; negative numbers crop.
        precision: precision of the products, as in `jax.numpy.matmul`.

    Returns:
        [K, L, C, D].
    """
    (rows, columns), (of_rows, (before, after)) = kernel_size, padding
    width, channels = images.shape[2:]
    height, _, features = gradient.shape[1:]
    images = _pad(images, 1, of_rows)
    # The left side of a product needs pixels last. The barrier makes XLA transpose once, here,
    # and not for every shift.
    gradient = lax.optimization_barrier(gradient.transpose(3, 0, 1, 2))
    gradient = _pad(gradient, 3, (columns - 1 - before, columns - 1 - after))
    starts = range(columns - 1, -1, -1)
    shifted = [lax.slice_in_dim(gradient, start, start + width, axis=3) for start in starts]
    above = jnp.concatenate(shifted).reshape(columns * features, -1)
    products = [
        jnp.matmul(
            above,
            lax.slice_in_dim(images, row, row + height, axis=1).reshape(-1, channels),
            precision=precision,
        )
        for row in range(rows)
    ]
    return jnp.stack(products).reshape(rows, columns, features, channels).swapaxes(2, 3)


def _pad(images: jax.Array, axis: int, zeros: tuple[int, int]) -> jax.Array:
    """Add zeros before and after an axis; negative numbers remove entries."""
    widths = [(0, 0, 0)] * images.ndim
    widths[axis] = (*zeros, 0)
    return lax.pad(images, jnp.zeros((), images.dtype), widths)
