"""Upsampling by two (nearest neighbour) and a 3 x 3 convolution in one operation.

Row 2i of the result sees rows i - 1, i, i of the image, and row 2i + 1 sees rows i, i, i + 1;
columns likewise. So sums of the kernel's entries reduce nine products to four: even and odd rows
and columns are four convolutions with 2 x 2 entries, and the doubled image is never stored.
The operation is also the transpose of a convolution of stride 2 with 4 x 4 entries. The gradients
of that form were the fastest of those tried on every TPU; on CPUs the gradients of the four
convolutions are faster (benchmarks/NOTES.md).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from noise2map_jax.network.convolution import ORDINARY, chosen_precision, conv_general_dilated

_PADDING = ((1, 1), (1, 1))


def upsampled_convolution(
    lhs: jax.Array, rhs: jax.Array, window_strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """Double images and convolve them; the signature is that which `flax.linen.Conv` calls.

    For images without pixels, other kernel sizes and options of other than ordinary convolutions,
    doubling and convolution run one after the other. Sums of the kernel's entries are float32 or
    better. The backward pass is custom, with the limits of `convolution.conv_general_dilated`.

    Args:
        lhs: images [B, H, W, C].
        rhs: the kernel [3, 3, C, D].
        window_strides: 1 and 1.
        padding: one zero on every side.
        options: the other arguments of `jax.lax.conv_general_dilated`.

    Returns:
        Images [B, 2H, 2W, D].
    """
    zeros = padding if isinstance(padding, str) else tuple(map(tuple, padding))
    given = (rhs.shape[:2], tuple(window_strides), zeros, options | {"precision": None})
    if given != ((3, 3), (1, 1), _PADDING, ORDINARY) or 0 in lhs.shape:
        doubled = jnp.repeat(jnp.repeat(lhs, 2, axis=1), 2, axis=2)
        return conv_general_dilated(doubled, rhs, window_strides, padding, **options)
    return _convolve(lhs, rhs, chosen_precision(options))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(images: jax.Array, kernel: jax.Array, precision: Any) -> jax.Array:
    return by_phases(images, kernel, precision)


def _forward(images: jax.Array, kernel: jax.Array, precision: Any) -> tuple[jax.Array, Any]:
    return by_phases(images, kernel, precision), (images, kernel)


def _backward(precision: Any, saved: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    by_platform = {"cpu": gradients_by_phases, "default": gradients_by_stride}
    by_platform = {k: functools.partial(f, precision=precision) for k, f in by_platform.items()}
    return lax.platform_dependent(*saved, gradient, **by_platform)


_convolve.defvjp(_forward, _backward)


def by_phases(images: jax.Array, kernel: jax.Array, precision: Any = None) -> jax.Array:
    """Compute even and odd rows and columns with one convolution of 2 x 2 entries each.

    Args:
        images: [B, H, W, C], not empty.
        kernel: [3, 3, C, D].
        precision: precision of the products, as in `jax.lax.conv_general_dilated`.

    Returns:
        [B, 2H, 2W, D].
    """
    options = ORDINARY | {"precision": precision}
    zero, spread = jnp.zeros((), images.dtype), []
    for row, of_row in enumerate(_of_phases(_widened(kernel), 0)):
        for column, entries in enumerate(_of_phases(of_row, 1)):
            padding = ((1 - row, row), (1 - column, column))
            phase = conv_general_dilated(
                images, entries.astype(kernel.dtype), (1, 1), padding, **options
            )
            # Each part has zeros in place of the others: a sum takes one pass, stacking two.
            between = ((0, 0, 0), (row, 1 - row, 1), (column, 1 - column, 1), (0, 0, 0))
            spread.append(lax.pad(phase, zero, between))
    return functools.reduce(jnp.add, spread)


def _of_phases(kernel: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Add up entries that see the same row or column, for even and for odd rows or columns."""
    first, second, third = jnp.split(kernel, 3, axis)
    return (
        jnp.concatenate([first, second + third], axis),
        jnp.concatenate([first + second, third], axis),
    )


def gradients_by_phases(
    images: jax.Array, kernel: jax.Array, gradient: jax.Array, precision: Any = None
) -> tuple[jax.Array, jax.Array]:
    """Return the gradients of images and kernel through the four convolutions."""
    convolve = functools.partial(by_phases, precision=precision)
    of_images, of_kernel = jax.vjp(convolve, images, kernel)[1](gradient)
    return of_images, of_kernel


def gradients_by_stride(
    images: jax.Array, kernel: jax.Array, gradient: jax.Array, precision: Any = None
) -> tuple[jax.Array, jax.Array]:
    """Return the gradients of images and kernel through the convolution of stride 2.

    That convolution maps the gradient [B, 2H, 2W, D] to the gradient of the images. If JAX derived
    the kernel's gradient from the transpose, the gradient would be the window of a convolution, and
    XLA would copy all of it in reverse order.
    """
    of_strided, back = jax.vjp(_of_strided, kernel)
    strided = functools.partial(_strided, precision=precision)
    (of_kernel,) = jax.linear_transpose(lambda k: strided(gradient, k), of_strided)(images)
    return strided(gradient, of_strided), back(of_kernel)[0]


def _of_strided(kernel: jax.Array) -> jax.Array:
    """Convert a kernel [3, 3, C, D] to that of the convolution of stride 2, [4, 4, D, C]."""
    wide = _widened(kernel[::-1, ::-1].swapaxes(2, 3))
    wide = jnp.pad(wide, [(1, 1), (1, 1), (0, 0), (0, 0)])
    wide = wide[1:] + wide[:-1]
    wide = wide[:, 1:] + wide[:, :-1]
    return wide.astype(kernel.dtype)


def _widened(kernel: jax.Array) -> jax.Array:
    """Convert kernels of fewer bits to float32, so that their sums are not rounded again."""
    return kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))


def _strided(images: jax.Array, kernel: jax.Array, precision: Any) -> jax.Array:
    options = ORDINARY | {"precision": precision}
    return lax.conv_general_dilated(images, kernel, (2, 2), _PADDING, **options)
