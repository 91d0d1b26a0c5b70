"""Group normalisation and SiLU as one function, whose backward pass needs little memory.

The forward pass keeps only its input, in the input's type, and a mean and a deviation for each
channel; the backward pass computes the rest again. It is derived by hand, reads the input and the
gradient twice and writes one gradient.
"""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def group_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    parts: tuple[jax.Array, ...],
    num_groups: int,
    epsilon: float,
    silu: bool,
    dtype: jnp.dtype,
) -> jax.Array:
    """Normalise over the pixels and each group of neighbouring channels (Wu, He 2018).

    Statistics and all intermediate values are float32, whatever the types are.

    Args:
        x: [B, H, W, C].
        scale: [C].
        bias: [C].
        parts: `x = jnp.concatenate(parts, -1)`, or x alone; the values are not checked. Statistics
            are computed for each part where the part is computed, which saves a pass over x. Only
            x gets a gradient, parts get none.
        num_groups: number of groups; divides C.
        epsilon: added to the variance.
        silu: whether `y * sigmoid(y)` follows.
        dtype: type of the result.

    Returns:
        [B, H, W, C] of type `dtype`.

    Raises:
        ValueError: the shapes of parts do not add up to that of x.
    """
    return _forward(x, scale, bias, parts, num_groups, epsilon, silu, dtype)[0]


Saved = tuple[jax.Array, ...]  # x, scale, bias; mean and inverse deviation of each channel's group


def _forward(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    parts: tuple[jax.Array, ...],
    num_groups: int,
    epsilon: float,
    silu: bool,
    dtype: jnp.dtype,
) -> tuple[jax.Array, Saved]:
    channels = sum(part.shape[-1] for part in parts)
    if (*parts[0].shape[:-1], channels) != x.shape or len({part.shape[:-1] for part in parts}) > 1:
        raise ValueError(f"parts of {[part.shape for part in parts]} do not make up {x.shape}")
    mean, inverse = _statistics(parts, num_groups, epsilon)
    y = _normalised(x, scale, bias, mean, inverse)
    return (jax.nn.silu(y) if silu else y).astype(dtype), (x, scale, bias, mean, inverse)


def _backward(
    num_groups: int, epsilon: float, silu: bool, dtype: jnp.dtype, saved: Saved, gradient: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    x, scale, bias, mean, inverse = saved

    def before_silu(gradient: jax.Array) -> jax.Array:
        dy = gradient.astype(jnp.float32)
        if not silu:
            return dy
        y = _normalised(x, scale, bias, mean, inverse)
        sigmoid = jax.nn.sigmoid(y)
        return dy * sigmoid * (1 + y * (1 - sigmoid))

    dy = before_silu(gradient)
    # (x - mean) / deviation as a product and a sum, which XLA fuses into their users.
    x_hat = x.astype(jnp.float32) * _pixels(inverse) - _pixels(mean * inverse)
    sum_dy, sum_dy_x = jnp.sum(dy, (1, 2)), jnp.sum(dy * x_hat, (1, 2))  # [B, C]
    factor = scale.astype(jnp.float32)[None, :]
    pixels = x.shape[1] * x.shape[2]
    mean_dy = _group_mean(sum_dy * factor, num_groups) / pixels
    mean_dy_x = _group_mean(sum_dy_x * factor, num_groups) / pixels
    if _is_narrow(gradient):
        # Otherwise XLA keeps `dy` in float32 for its second use, at twice the bytes of `gradient`:
        # here, and for GPUs in the sums over images below, which it would take from `dy` anew. One
        # barrier for all, because with two, libtpu 0.0.42 fails.
        anew, sum_dy, sum_dy_x = jax.lax.optimization_barrier((gradient, sum_dy, sum_dy_x))
        dy = before_silu(anew)
    dx = _pixels(inverse) * (dy * _pixels(factor) - _pixels(mean_dy) - x_hat * _pixels(mean_dy_x))
    return (
        dx.astype(x.dtype),
        jnp.sum(sum_dy_x, 0).astype(scale.dtype),
        jnp.sum(sum_dy, 0).astype(bias.dtype),
        None,  # parts are x again: the gradient of x has all
    )


group_norm.defvjp(_forward, _backward)


def _statistics(
    parts: tuple[jax.Array, ...], num_groups: int, epsilon: float
) -> tuple[jax.Array, jax.Array]:
    """Return mean and 1 / standard deviation of each channel's group, [B, C] float32."""
    of_parts = zip(*map(_channel_statistics, parts), strict=True)
    channel_mean, channel_variance = (jnp.concatenate(numbers, -1) for numbers in of_parts)
    mean = _group_mean(channel_mean, num_groups)
    variance = _group_mean(channel_variance + jnp.square(channel_mean - mean), num_groups)
    # Rounding can make the variance of a constant image negative.
    return mean, jax.lax.rsqrt(jnp.maximum(variance, 0) + epsilon)


def _channel_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and variance of each channel of an image, [B, C] float32.

    This takes one pass over the image. Plain sums of x and x**2 cancel if the mean is large (error
    3e-3 at mean = 100 std, NaN at 10,000). Sums relative to any one pixel are as exact as two
    passes (7e-6 and 8e-4). In bfloat16 plain sums are used: rounding costs an image with spread
    values more than that, and plain sums can be computed together with x, before x is written,
    while sums relative to one of its pixels cannot. Then the variance of a channel that is constant
    except for a few pixels is too small: 100 with one pixel of 100.5 in 256 x 256 gives a largest
    value of 500 instead of 228, at most 1 / sqrt(epsilon) times the distance from the mean.
    """
    pixel = jnp.zeros_like(x[:, :1, :1, :]) if _is_narrow(x) else x[:, :1, :1, :]
    pixel, x = pixel.astype(jnp.float32), x.astype(jnp.float32)
    offset = jnp.mean(x - pixel, (1, 2))
    square = jnp.mean(jnp.square(x - pixel), (1, 2))
    return pixel[:, 0, 0, :] + offset, square - jnp.square(offset)


def _is_narrow(x: jax.Array) -> bool:
    """Whether x has fewer bits than float32, the type of the computation."""
    return x.dtype.itemsize < 4


def _normalised(
    x: jax.Array, scale: jax.Array, bias: jax.Array, mean: jax.Array, inverse: jax.Array
) -> jax.Array:
    factor = scale.astype(jnp.float32)[None, :] * inverse
    shift = bias.astype(jnp.float32)[None, :] - mean * factor
    return x.astype(jnp.float32) * _pixels(factor) + _pixels(shift)


def _pixels(per_channel: jax.Array) -> jax.Array:
    """Reshape [B, C] to [B, 1, 1, C]."""
    return per_channel[:, None, None, :]


def _group_mean(per_channel: jax.Array, num_groups: int) -> jax.Array:
    """Replace each value of [B, C] by the mean of its channel's group, [B, C]."""
    groups = per_channel.reshape(per_channel.shape[0], num_groups, -1)
    mean = jnp.broadcast_to(groups.mean(-1, keepdims=True), groups.shape)
    return mean.reshape(per_channel.shape)
