"""Layers that the networks share: convolutions with batch normalisation, dropout, last layers.

Layers compute in the type of their input; parameters have the type `param_dtype`. Initial values:
He normal over outputs (fan_out, as in torchvision) for convolutions before ReLU, Xavier uniform
for last layers, a normal distribution of deviation 0.02, cut off at two deviations, for linear
layers of transformers, zeros for biases.

The functions make modules of the module that calls them, with the names that they are given.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.depthwise import conv_general_dilated
from noise2map_jax.networks.training import Training

# Parameters, options and values are those of Flax; on CPUs depthwise convolutions and the gradients
# of kernels are faster.
Conv = functools.partial(nn.Conv, conv_general_dilated=conv_general_dilated)
# Statistics in float32, in two passes.
LayerNorm = functools.partial(nn.LayerNorm, use_fast_variance=False)


def he_normal(
    key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, *, groups: int = 1
) -> jax.Array:
    """Draw a kernel [K, L, C, D] of variance 2 / (K L D / groups) (He et al. 2015)."""
    fan_out = shape[0] * shape[1] * shape[3] // groups
    return jax.random.normal(key, shape, dtype) * (2 / fan_out) ** 0.5


def truncated_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Draw from a normal distribution of deviation 0.02 that is cut off at two deviations."""
    return 0.02 * jax.random.truncated_normal(key, -2, 2, shape, dtype)


def convolution(
    x: jax.Array,
    features: int,
    size: int,
    *,
    name: str,
    param_dtype: Any,
    strides: int = 1,
    dilation: int = 1,
    groups: int = 1,
    use_bias: bool = False,
    kernel_init: Any = None,
) -> jax.Array:
    """Convolve [B, H, W, C] to [B, H / strides, W / strides, features].

    Args:
        x: [B, H, W, C].
        features: channels of the result.
        size: side of the kernel; if it is even, the result is a row and a column smaller.
        name: name of the module.
        param_dtype: type of the parameters.
        strides: pixels from window to window.
        dilation: pixels from one entry of the kernel to the next.
        groups: number of groups of channels that are convolved apart.
        use_bias: whether a bias is added.
        kernel_init: initial values; None: He normal.
    """
    return Conv(
        features,
        (size, size),
        strides=strides,
        padding=dilation * ((size - 1) // 2),
        kernel_dilation=dilation,
        feature_group_count=groups,
        use_bias=use_bias,
        dtype=x.dtype,
        param_dtype=param_dtype,
        kernel_init=kernel_init or functools.partial(he_normal, groups=groups),
        name=name,
    )(x)


def conv_norm(
    x: jax.Array,
    features: int,
    size: int,
    training: Training | None,
    *,
    name: str,
    param_dtype: Any,
    **options: Any,
) -> jax.Array:
    """Apply a convolution (`name_0`) and batch normalisation (`name_1`).

    Options are those of `convolution`: it has no bias unless `use_bias` asks for one.
    """
    x = convolution(x, features, size, name=f"{name}_0", param_dtype=param_dtype, **options)
    return BatchNorm(param_dtype=param_dtype, name=f"{name}_1")(x, training)


def conv_norm_relu(
    x: jax.Array,
    features: int,
    size: int,
    training: Training | None,
    *,
    name: str,
    param_dtype: Any,
    **options: Any,
) -> jax.Array:
    """Apply `conv_norm` and ReLU; options are those of `convolution`."""
    options |= {"name": name, "param_dtype": param_dtype}
    return nn.relu(conv_norm(x, features, size, training, **options))


def separable_convolution(
    x: jax.Array, features: int, *, name: str, param_dtype: Any, dilation: int = 1
) -> jax.Array:
    """Convolve each channel with a 3x3 kernel (`name_0`), then mix channels (`name_1`)."""
    channels = x.shape[-1]
    x = convolution(
        x,
        channels,
        3,
        name=f"{name}_0",
        param_dtype=param_dtype,
        dilation=dilation,
        groups=channels,
    )
    return convolution(x, features, 1, name=f"{name}_1", param_dtype=param_dtype)


def last_layer(
    x: jax.Array,
    num_outputs: int,
    size: int,
    *,
    name: str,
    param_dtype: Any,
    use_bias: bool = True,
) -> jax.Array:
    """Convolve [B, H, W, C] to logits [B, H, W, num_outputs], in float32."""
    return convolution(
        x.astype(jnp.float32),
        num_outputs,
        size,
        name=name,
        param_dtype=param_dtype,
        use_bias=use_bias,
        kernel_init=nn.initializers.xavier_uniform(),
    )


def linear(
    x: jax.Array, features: int, *, name: str, param_dtype: Any, use_bias: bool = True
) -> jax.Array:
    """Apply a linear layer of a transformer to [..., C]."""
    return nn.Dense(
        features,
        use_bias=use_bias,
        dtype=x.dtype,
        param_dtype=param_dtype,
        kernel_init=truncated_normal,
        name=name,
    )(x)


def layer_norm(x: jax.Array, epsilon: float, *, name: str, param_dtype: Any) -> jax.Array:
    """Normalise [..., C] over channels, with statistics in float32."""
    return LayerNorm(epsilon=epsilon, dtype=x.dtype, param_dtype=param_dtype, name=name)(x)


class Dropout(nn.Module):
    """Dropout with random numbers of each row's own (Srivastava et al. 2014).

    Attributes:
        rate: probability that an entry is zero; the others are divided by 1 - rate.
        shared_axes: axes along which entries are dropped together: (1, 2) drops whole channels of
            images.
    """

    rate: float
    shared_axes: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Drop entries of [B, ...] in training."""
        if training is None or self.rate == 0:
            return x
        shape = [1 if axis in self.shared_axes else x.shape[axis] for axis in range(1, x.ndim)]
        kept = training.keep(self.path, self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros((), x.dtype))


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch of a whole row (Huang et al. 2016)."""

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Drop rows of [B, ...] in training."""
        axes = tuple(range(1, x.ndim))
        return Dropout(self.rate, axes, name="dropout")(x, training)


def drop_path_rates(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Return rates of stochastic depth: from 0 in the first block linearly to `rate` in the last.

    Args:
        rate: rate of the last block.
        depths: number of blocks of each stage.
    """
    last = max(sum(depths) - 1, 1)
    numbers = iter(range(sum(depths)))
    return [[rate * next(numbers) / last for _ in range(depth)] for depth in depths]
