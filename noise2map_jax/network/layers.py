"""The layers of the U-Net: timesteps, normalisation, residual block, attention, resampling.

Images are NHWC. Parameters have the type `param_dtype`, convolutions and matrix products run in
`dtype`. GroupNorm statistics, softmax and the timestep embedding are always float32.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.network.convolution import conv_general_dilated
from noise2map_jax.network.normalization import group_norm
from noise2map_jax.network.unet_config import UNetConfig
from noise2map_jax.network.upsampling import upsampled_convolution

# Parameters, options and values are those of Flax; on CPUs the kernel's gradient is faster.
Conv = functools.partial(nn.Conv, conv_general_dilated=conv_general_dilated)


def timestep_embedding(
    timesteps: jax.Array, dim: int, *, flip_sin_to_cos: bool, freq_shift: float
) -> jax.Array:
    """Embed timesteps in sines and cosines of geometrically spaced frequencies.

    Frequency i is `10000 ** (-i / (dim // 2 - freq_shift))` (Ho et al. 2020, after Vaswani et
    al. 2017); an odd `dim` ends in a zero.

    Args:
        timesteps: [B], whole or fractional.
        dim: length of the embedding.
        flip_sin_to_cos: whether cosines come first instead of sines.
        freq_shift: 1 makes the lowest frequency exactly 1/10000; with 0 the frequencies stop one
            step before it.

    Returns:
        [B, dim] float32.
    """
    half = dim // 2
    exponents = -math.log(10000) * jnp.arange(half, dtype=jnp.float32) / (half - freq_shift)
    angles = timesteps.astype(jnp.float32)[:, None] * jnp.exp(exponents)[None, :]
    waves = [jnp.sin(angles), jnp.cos(angles)]
    zeros = jnp.zeros((timesteps.shape[0], dim % 2), jnp.float32)
    return jnp.concatenate([*(waves[::-1] if flip_sin_to_cos else waves), zeros], axis=-1)


class FourierProjection(nn.Module):
    """Sines and cosines of the logarithm of the timestep at fixed random frequencies."""

    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, timesteps: jax.Array) -> jax.Array:
        """Embed timesteps [B] as [B, 2 * features] float32."""
        weight = self.param("weight", nn.initializers.normal(16.0), (self.features,), jnp.float32)
        # Stored with the weights, but never trained (requires_grad=False in diffusers).
        weight = jax.lax.stop_gradient(weight)
        angles = jnp.log(timesteps.astype(jnp.float32))[:, None] * weight[None, :] * 2 * jnp.pi
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class TimeEmbedding(nn.Module):
    """Two dense layers over the embedded timestep."""

    features: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, embedded: jax.Array) -> jax.Array:
        """Map [B, D] to [B, features]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        h = nn.silu(nn.Dense(self.features, name="linear_1", **types)(embedded))
        return nn.Dense(self.features, name="linear_2", **types)(h)


class GroupNorm(nn.Module):
    """Group normalisation with float32 statistics (Wu, He 2018), optionally followed by SiLU."""

    num_groups: int
    epsilon: float
    silu: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *parts: jax.Array) -> jax.Array:
        """Normalise [B, H, W, C] over H, W and each group of neighbouring channels.

        Args:
            x: [B, H, W, C].
            parts: the arrays that x was concatenated from, if any; see `normalization.group_norm`.
        """
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        options = (self.num_groups, self.epsilon, self.silu, self.dtype)
        return group_norm(x, scale, bias, parts or (x,), *options)


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions with the timestep between them, and a shortcut."""

    features: int
    config: UNetConfig
    output_scale_factor: float = 1.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, temb: jax.Array, *skips: jax.Array) -> jax.Array:
        """Map [B, H, W, C], the embedded timestep [B, D] and skips to [B, H, W, features].

        Channels of skips [B, H, W, Ci] come after those of x.
        """
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = {
            "num_groups": self.config.norm_num_groups,
            "epsilon": self.config.norm_eps,
            **types,
        }
        scale_shift = self.config.resnet_time_scale_shift == "scale_shift"

        parts = (x, *skips)
        x = jnp.concatenate(parts, axis=-1)
        h = GroupNorm(silu=True, name="norm1", **norm)(x, *parts)
        h = Conv(self.features, (3, 3), padding=1, name="conv1", **types)(h)
        time = nn.Dense(self.features * (1 + scale_shift), name="time_emb_proj", **types)(
            nn.silu(temb)
        )[:, None, None, :]
        if scale_shift:
            scale, shift = jnp.split(time, 2, axis=-1)
            h = nn.silu(GroupNorm(name="norm2", **norm)(h) * (1 + scale) + shift)
        else:
            h = GroupNorm(silu=True, name="norm2", **norm)(h + time)
        h = Conv(self.features, (3, 3), padding=1, name="conv2", **types)(h)
        if x.shape[-1] != self.features:
            x = Conv(self.features, (1, 1), name="conv_shortcut", **types)(x)
        return (x + h) / self.output_scale_factor


class Attention(nn.Module):
    """Self-attention over all pixels, added to its input."""

    config: UNetConfig
    num_groups: int | None  # None: no normalisation
    output_scale_factor: float = 1.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch, height, width, channels = x.shape
        head_dim = self.config.attention_head_dim or channels
        # If heads do not divide the channels, the rest is dropped, as in diffusers.
        heads = channels // head_dim

        h = x
        if self.num_groups is not None:
            h = GroupNorm(self.num_groups, self.config.norm_eps, name="group_norm", **types)(h)
        h = h.reshape(batch, height * width, channels)
        query, key, value = (
            nn.Dense(heads * head_dim, name=name, **types)(h).reshape(batch, -1, heads, head_dim)
            for name in ("to_q", "to_k", "to_v")
        )
        h = jax.nn.dot_product_attention(query, key, value)
        h = nn.Dense(channels, name="to_out_0", **types)(h.reshape(batch, height * width, -1))
        return (x + h.reshape(x.shape)) / self.output_scale_factor


class Downsample(nn.Module):
    """A 3x3 convolution of stride 2."""

    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H/2, W/2, C]."""
        before = self.config.downsample_padding
        return Conv(
            x.shape[-1],
            (3, 3),
            strides=2,
            padding=((before, 1), (before, 1)),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(x)


class Upsample(nn.Module):
    """Repeats every pixel in both directions, then applies a 3x3 convolution."""

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, 2H, 2W, C]."""
        # Not `Conv`: another function replaces the convolution here.
        return nn.Conv(
            x.shape[-1],
            (3, 3),
            padding=1,
            conv_general_dilated=upsampled_convolution,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(x)
