"""Every pixel twice in both directions, then a 3 x 3 convolution: both at once.

Row 2i of the result sees rows i - 1, i, i of the image and row 2i + 1 rows i, i, i + 1; so with
columns. Of nine products four are left, of sums of the kernel's entries, and the image that is
twice as large is never made. The same thing is the transpose of a convolution of stride 2 with
4 x 4 entries, which compilers for TPUs and GPUs know; on CPUs four convolutions of 2 x 2 entries
are quicker (benchmarks/NOTES.md).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from noise2map_jax.convolution import ORDINARY, conv_general_dilated

_PADDING = ((1, 1), (1, 1))


def upsampled_convolution(
    lhs: jax.Array, rhs: jax.Array, window_strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """Double images and convolve them; for `flax.linen.Conv`, which calls it in this way.

    Sums of the kernel's entries are float32 or better. It has a backward pass by hand, as
    `convolution.conv_general_dilated`, and what is said there holds.

    Args:
        lhs: images [B, H, W, C].
        rhs: the kernel [3, 3, C, D].
        window_strides: 1 and 1.
        padding: one zero on every side.
        options: what Flax gives for a convolution without dilation, groups or precision.

    Returns:
        Images [B, 2H, 2W, D].

    Raises:
        ValueError: another kernel, stride, padding or option.
    """
    given = (rhs.shape[:2], tuple(window_strides), tuple(map(tuple, padding)), options)
    if given != ((3, 3), (1, 1), _PADDING, ORDINARY):
        raise ValueError(
            f"upsampled convolution with kernel, strides, padding and options {given}; it is one "
            "of 3 x 3, stride 1, padding 1 and no option"
        )
    return _convolve(lhs, rhs)


@jax.custom_vjp
def _convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.platform_dependent(images, kernel, cpu=by_phases, default=transposed)


def _forward(images: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return _convolve(images, kernel), (images, kernel)


def _backward(saved: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    def of_phases(images: jax.Array, kernel: jax.Array, gradient: jax.Array) -> Any:
        return jax.vjp(by_phases, images, kernel)[1](gradient)

    return lax.platform_dependent(*saved, gradient, cpu=of_phases, default=gradients_of_transposed)


_convolve.defvjp(_forward, _backward)


def by_phases(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Compute even and odd rows and columns each by a convolution of 2 x 2 entries.

    Args:
        images: [B, H, W, C].
        kernel: [3, 3, C, D].

    Returns:
        [B, 2H, 2W, D].
    """
    batch, height, width, _ = images.shape
    phases = [
        conv_general_dilated(
            images,
            of_both.astype(kernel.dtype),
            (1, 1),
            ((1 - row, row), (1 - column, column)),
            **ORDINARY,
        )
        for row, of_row in enumerate(_of_phases(_widened(kernel), 0))
        for column, of_both in enumerate(_of_phases(of_row, 1))
    ]
    stacked = jnp.stack(phases).reshape(2, 2, *phases[0].shape)
    return stacked.transpose(2, 3, 0, 4, 1, 5).reshape(batch, 2 * height, 2 * width, -1)


def _of_phases(kernel: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Add up entries that see the same row or column, for even ones and for odd ones."""
    first, second, third = jnp.split(kernel, 3, axis)
    return (
        jnp.concatenate([first, second + third], axis),
        jnp.concatenate([first + second, third], axis),
    )


def transposed(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Compute the same as the transpose of a convolution of stride 2; arguments as above."""
    batch, height, width, _ = images.shape
    of_strided = _of_strided(kernel)
    doubled = jax.ShapeDtypeStruct((batch, 2 * height, 2 * width, kernel.shape[3]), images.dtype)
    (result,) = jax.linear_transpose(lambda x: _strided(x, of_strided), doubled)(images)
    return result


def gradients_of_transposed(
    images: jax.Array, kernel: jax.Array, gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the gradients of images and kernel.

    The same convolution gives both. Derived by JAX, the kernel's would be a convolution of the
    images with the gradient for a window, for which XLA copies all of the gradient in reverse.
    """
    of_strided, back = jax.vjp(_of_strided, kernel)
    (of_kernel,) = jax.linear_transpose(lambda k: _strided(gradient, k), of_strided)(images)
    return _strided(gradient, of_strided), back(of_kernel)[0]


def _of_strided(kernel: jax.Array) -> jax.Array:
    """Make of [3, 3, C, D] the kernel [4, 4, D, C] of the convolution that is transposed."""
    wide = _widened(kernel[::-1, ::-1].swapaxes(2, 3))
    wide = jnp.pad(wide, [(1, 1), (1, 1), (0, 0), (0, 0)])
    wide = wide[1:] + wide[:-1]
    wide = wide[:, 1:] + wide[:, :-1]
    return wide.astype(kernel.dtype)


def _widened(kernel: jax.Array) -> jax.Array:
    """Take to float32 what has fewer bits: sums would else be rounded once more."""
    return kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))


def _strided(images: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(images, kernel, (2, 2), _PADDING, **ORDINARY)
