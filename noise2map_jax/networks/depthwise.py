"""Depthwise convolutions as sums of shifted images on CPUs.

XLA runs convolutions with a group for each channel without its fast routines on a CPU. Sums of
shifted images, multiplied by the kernel's entries, become one loop there. Other devices use XLA's
convolution.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from noise2map_jax.network import convolution

_Pair = tuple[int, int]


def conv_general_dilated(
    lhs: jax.Array, rhs: jax.Array, window_strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """Convolve images with a kernel; the signature is that which `flax.linen.Conv` calls.

    Depthwise convolutions of stride 1, with or without dilation, are fast on CPUs; all others are
    those of `network.convolution`. The backward pass is custom, with its limits.

    Args:
        lhs: images [B, H, W, C].
        rhs: the kernel [K, L, 1, C] if depthwise.
        window_strides: pixels from window to window along rows and columns.
        padding: as in `jax.lax.conv_general_dilated`.
        options: the other arguments of that function.

    Returns:
        Images [B, H', W', D].
    """
    channels = lhs.shape[-1]
    dilation = tuple(options["rhs_dilation"])
    others = {"rhs_dilation": (1, 1), "feature_group_count": 1, "precision": None}
    ordinary = options | others == convolution.ORDINARY
    depthwise = options["feature_group_count"] == channels == rhs.shape[-1] > 1
    explicit = not isinstance(padding, str)
    if not (depthwise and ordinary and explicit and tuple(window_strides) == (1, 1)):
        return convolution.conv_general_dilated(lhs, rhs, window_strides, padding, **options)
    rows, columns = ((before, after) for before, after in padding)
    precision = convolution.chosen_precision(options)
    return _convolve(lhs, rhs, (rows, columns), dilation, precision)


def _by_xla(
    images: jax.Array,
    kernel: jax.Array,
    padding: tuple[_Pair, _Pair],
    dilation: _Pair,
    precision: Any,
) -> jax.Array:
    options = convolution.ORDINARY | {
        "rhs_dilation": dilation,
        "feature_group_count": images.shape[-1],
        "precision": precision,
    }
    return lax.conv_general_dilated(images, kernel, (1, 1), padding, **options)


def by_shifts(
    images: jax.Array, kernel: jax.Array, padding: tuple[_Pair, _Pair], dilation: _Pair
) -> jax.Array:
    """Add up images that are shifted, and multiplied, for each entry of the kernel.

    Args:
        images: [B, H, W, C].
        kernel: [K, L, 1, C].
        padding: zeros before and after rows and columns.
        dilation: pixels from one entry of the kernel to the next, along rows and columns.

    Returns:
        [B, H', W', C] of the type of the images; sums are float32 or better.
    """
    rows, columns = kernel.shape[:2]
    wide = jnp.promote_types(images.dtype, jnp.float32)
    padded = jnp.pad(images.astype(wide), ((0, 0), *padding, (0, 0)))
    height = padded.shape[1] - (rows - 1) * dilation[0]
    width = padded.shape[2] - (columns - 1) * dilation[1]
    total = jnp.zeros((), wide)
    for row in range(rows):
        for column in range(columns):
            top, left = row * dilation[0], column * dilation[1]
            entry = kernel[row, column].astype(wide).reshape(1, 1, 1, -1)
            total += padded[:, top : top + height, left : left + width] * entry
    return total.astype(images.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(
    images: jax.Array, kernel: jax.Array, padding: Any, dilation: Any, precision: Any
) -> jax.Array:
    shifts = functools.partial(by_shifts, padding=padding, dilation=dilation)
    xla = functools.partial(_by_xla, padding=padding, dilation=dilation, precision=precision)
    return lax.platform_dependent(images, kernel, cpu=shifts, default=xla)


def _forward(
    images: jax.Array, kernel: jax.Array, padding: Any, dilation: Any, precision: Any
) -> tuple[jax.Array, Any]:
    return _convolve(images, kernel, padding, dilation, precision), (images, kernel)


def _backward(
    padding: Any, dilation: Any, precision: Any, saved: Any, gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    shifts = functools.partial(by_shifts, padding=padding, dilation=dilation)
    xla = functools.partial(_by_xla, padding=padding, dilation=dilation, precision=precision)

    def gradients(
        function: Any, images: jax.Array, kernel: jax.Array, gradient: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        of_images, of_kernel = jax.vjp(function, images, kernel)[1](gradient)
        return of_images, of_kernel

    cpu, default = functools.partial(gradients, shifts), functools.partial(gradients, xla)
    return lax.platform_dependent(*saved, gradient, cpu=cpu, default=default)


_convolve.defvjp(_forward, _backward)
