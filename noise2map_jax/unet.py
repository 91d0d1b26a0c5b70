"""The U-Net of denoising diffusion, term by term the `UNet2DModel` of diffusers, in Flax Linen.

Images are NHWC. Sub-modules carry the names diffusers gives its own, with `_` for `.` before a
number, so that weights map mechanically (`weights.py`). Parameters live in `param_dtype`,
convolutions and matrix products run in `dtype`; GroupNorm statistics, softmax, the timestep
embedding and the output are float32 whatever `dtype` is.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError

DOWN_BLOCK_TYPES = ("DownBlock2D", "AttnDownBlock2D")
UP_BLOCK_TYPES = ("UpBlock2D", "AttnUpBlock2D")


def block_types(
    block_out_channels: Sequence[int], attention_levels: Sequence[int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the down and up blocks of a U-Net with attention at the given levels.

    Args:
        block_out_channels: channels of the levels, from full resolution downwards.
        attention_levels: indices of the down blocks with attention; the up blocks mirror them.

    Returns:
        `(down_block_types, up_block_types)` for `UNetConfig`.

    Raises:
        UserError: a level that does not exist.
    """
    levels = len(block_out_channels)
    for level in attention_levels:
        if not 0 <= level < levels:
            raise UserError(
                f"attention_levels: level {level} does not exist, "
                f"block_out_channels has levels 0 to {levels - 1}"
            )
    down = tuple(DOWN_BLOCK_TYPES[level in attention_levels] for level in range(levels))
    up = tuple(UP_BLOCK_TYPES[level in attention_levels] for level in reversed(range(levels)))
    return down, up


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """The fields of diffusers' `UNet2DModel` config that shape the network, with its defaults."""

    sample_size: int | None = None  # pixels a side it was made for; any size that divides works
    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False  # 2 * sample - 1 before the first convolution
    time_embedding_type: str = "positional"  # or "fourier"
    time_embedding_dim: int | None = None  # None: 4 * block_out_channels[0]
    freq_shift: float = 0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("DownBlock2D",) + ("AttnDownBlock2D",) * 3
    up_block_types: tuple[str, ...] = ("AttnUpBlock2D",) * 3 + ("UpBlock2D",)
    block_out_channels: tuple[int, ...] = (224, 448, 672, 896)
    layers_per_block: int = 2
    mid_block_scale_factor: float = 1
    downsample_padding: int = 1  # 0: pad right and bottom by one, then a valid convolution
    attention_head_dim: int | None = 8  # None: one head of all channels
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None  # of the mid block's attention
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"  # or "scale_shift"
    add_attention: bool = True  # in the mid block

    def __post_init__(self):
        """Refuse what the network cannot be built of.

        Raises:
            UserError: naming the field, its value and what is supported.
        """

        def require(ok: bool, field: str, expected: str) -> None:
            if not ok:
                raise UserError(f"U-Net {field}={getattr(self, field)!r}: expected {expected}")

        levels, channels = len(self.block_out_channels), self.block_out_channels
        require(levels > 0 and min(channels) > 0, "block_out_channels", "one or more widths > 0")
        for field, known in (
            ("down_block_types", DOWN_BLOCK_TYPES),
            ("up_block_types", UP_BLOCK_TYPES),
        ):
            names = getattr(self, field)
            require(set(names) <= set(known), field, f"only {' and '.join(known)}")
            require(len(names) == levels, field, f"{levels} names, one a level, got {len(names)}")
        for field in ("in_channels", "out_channels", "layers_per_block", "norm_num_groups"):
            require(getattr(self, field) > 0, field, "a whole number > 0")
        groups = self.norm_num_groups
        require(
            all(width % groups == 0 for width in channels),
            "block_out_channels",
            f"every width divisible by norm_num_groups={groups}",
        )
        require(
            self.attn_norm_num_groups is None or channels[-1] % self.attn_norm_num_groups == 0,
            "attn_norm_num_groups",
            f"a divisor of the last width, {channels[-1]}",
        )
        require(self.downsample_padding in (0, 1), "downsample_padding", "0 or 1")
        require(
            self.time_embedding_type in ("positional", "fourier"),
            "time_embedding_type",
            "'positional' or 'fourier'",
        )
        require(
            self.resnet_time_scale_shift in ("default", "scale_shift"),
            "resnet_time_scale_shift",
            "'default' or 'scale_shift'",
        )
        require(
            self.time_embedding_type == "fourier" or channels[0] // 2 > self.freq_shift,
            "freq_shift",
            f"less than half the first width, {channels[0] // 2}",
        )
        attended = [w for w, t in zip(channels, self.down_block_types, strict=True) if "Attn" in t]
        attended += [
            w for w, t in zip(channels[::-1], self.up_block_types, strict=True) if "Attn" in t
        ]
        attended += [channels[-1]] if self.add_attention else []
        head_dim = self.attention_head_dim
        require(
            head_dim is None or all(0 < head_dim <= width for width in attended),
            "attention_head_dim",
            f"None or 1 to {min(attended, default=0)}, the least width with attention",
        )


def timestep_embedding(
    timesteps: jax.Array, dim: int, *, flip_sin_to_cos: bool, freq_shift: float
) -> jax.Array:
    """Embed timesteps in sines and cosines of geometrically spaced frequencies.

    Frequency i is `10000 ** (-i / (dim // 2 - freq_shift))` (Ho et al. 2020, after Vaswani et
    al. 2017); an odd `dim` ends in a zero.

    Args:
        timesteps: [B], whole or fractional.
        dim: length of the embedding.
        flip_sin_to_cos: the cosines first instead of the sines.
        freq_shift: 1 lets the lowest frequency be exactly 1/10000, 0 stops one before it.

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
    """Group normalisation with float32 statistics (Wu, He 2018)."""

    num_groups: int
    epsilon: float
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise [B, H, W, C] over H, W and each group of neighbouring channels."""
        batch, height, width, channels = x.shape
        scale = self.param("scale", nn.initializers.ones, (channels,), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        grouped = x.astype(jnp.float32).reshape(batch, height * width, self.num_groups, -1)
        mean = grouped.mean((1, 3), keepdims=True)
        centred = grouped - mean
        variance = jnp.square(centred).mean((1, 3), keepdims=True)
        y = (centred * jax.lax.rsqrt(variance + self.epsilon)).reshape(x.shape)
        y = y * scale.astype(jnp.float32)[None, None, None, :]
        y = y + bias.astype(jnp.float32)[None, None, None, :]
        return y.astype(self.dtype)


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions around the timestep, beside a shortcut."""

    features: int
    config: UNetConfig
    output_scale_factor: float = 1.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, temb: jax.Array) -> jax.Array:
        """Map [B, H, W, C] and the embedded timestep [B, D] to [B, H, W, features]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = {
            "num_groups": self.config.norm_num_groups,
            "epsilon": self.config.norm_eps,
            **types,
        }
        scale_shift = self.config.resnet_time_scale_shift == "scale_shift"

        h = nn.silu(GroupNorm(name="norm1", **norm)(x))
        h = nn.Conv(self.features, (3, 3), padding=1, name="conv1", **types)(h)
        time = nn.Dense(self.features * (1 + scale_shift), name="time_emb_proj", **types)(
            nn.silu(temb)
        )[:, None, None, :]
        if scale_shift:
            scale, shift = jnp.split(time, 2, axis=-1)
            h = GroupNorm(name="norm2", **norm)(h) * (1 + scale) + shift
        else:
            h = GroupNorm(name="norm2", **norm)(h + time)
        h = nn.Conv(self.features, (3, 3), padding=1, name="conv2", **types)(nn.silu(h))
        if x.shape[-1] != self.features:
            x = nn.Conv(self.features, (1, 1), name="conv_shortcut", **types)(x)
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
        # What is left over of channels that heads do not divide is dropped, as in diffusers.
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
        return nn.Conv(
            x.shape[-1],
            (3, 3),
            strides=2,
            padding=((before, 1), (before, 1)),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(x)


class Upsample(nn.Module):
    """Every pixel twice in both directions, then a 3x3 convolution."""

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, 2H, 2W, C]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        return nn.Conv(x.shape[-1], (3, 3), padding=1, name="conv", **types)(x)


class DownBlock(nn.Module):
    """Residual blocks, each with attention or not, then half the resolution."""

    features: int
    attention: bool
    downsample: bool
    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, h: jax.Array, temb: jax.Array) -> list[jax.Array]:
        """Map [B, H, W, C] to the output of every layer, the last one half the size if asked."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config, outputs = self.config, []
        for i in range(config.layers_per_block):
            h = ResnetBlock(self.features, config, name=f"resnets_{i}", **types)(h, temb)
            if self.attention:
                h = Attention(config, config.norm_num_groups, name=f"attentions_{i}", **types)(h)
            outputs.append(h)
        if self.downsample:
            outputs.append(Downsample(config, name="downsamplers_0", **types)(h))
        return outputs


class MidBlock(nn.Module):
    """Residual block, attention or not, residual block, at the lowest resolution."""

    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, h: jax.Array, temb: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config, features, factor = self.config, h.shape[-1], self.config.mid_block_scale_factor
        groups = config.attn_norm_num_groups
        if groups is None and config.resnet_time_scale_shift == "default":
            # With "scale_shift" diffusers leaves this one attention without normalisation.
            groups = config.norm_num_groups
        h = ResnetBlock(features, config, factor, name="resnets_0", **types)(h, temb)
        if config.add_attention:
            h = Attention(config, groups, factor, name="attentions_0", **types)(h)
        return ResnetBlock(features, config, factor, name="resnets_1", **types)(h, temb)


class UpBlock(nn.Module):
    """Residual blocks over the skips, each with attention or not, then twice the resolution."""

    features: int
    attention: bool
    upsample: bool
    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, h: jax.Array, skips: list[jax.Array], temb: jax.Array) -> jax.Array:
        """Map [B, H, W, C] and one skip a layer, in their order of use, to the block's output."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config = self.config
        for i, skip in enumerate(skips):
            h = jnp.concatenate([h, skip], axis=-1)
            h = ResnetBlock(self.features, config, name=f"resnets_{i}", **types)(h, temb)
            if self.attention:
                h = Attention(config, config.norm_num_groups, name=f"attentions_{i}", **types)(h)
        if self.upsample:
            h = Upsample(name="upsamplers_0", **types)(h)
        return h


class UNet(nn.Module):
    """The U-Net of denoising diffusion (Ho et al. 2020)."""

    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, sample: jax.Array, timesteps: jax.Array) -> jax.Array:
        """Predict an image from a noisy image and its timestep.

        Args:
            sample: [B, H, W, in_channels]; H and W divisible by 2 ** (levels - 1).
            timesteps: [B], whole or fractional.

        Returns:
            [B, H, W, out_channels] float32.

        Raises:
            UserError: sizes that the levels do not divide, or another number of channels.
        """
        config = self.config
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        channels = config.block_out_channels
        last = len(channels) - 1
        _, height, width, bands = sample.shape
        if height % 2**last or width % 2**last:
            raise UserError(
                f"U-Net input is {height} x {width} pixels: its {last + 1} levels need height "
                f"and width divisible by {2**last}"
            )
        if bands != config.in_channels:
            raise UserError(f"U-Net input has {bands} channels, expected {config.in_channels}")

        if config.center_input_sample:
            sample = 2 * sample - 1

        if config.time_embedding_type == "fourier":
            temb = FourierProjection(channels[0], name="time_proj")(timesteps)
        else:
            temb = timestep_embedding(
                timesteps,
                channels[0],
                flip_sin_to_cos=config.flip_sin_to_cos,
                freq_shift=config.freq_shift,
            )
        temb = TimeEmbedding(
            config.time_embedding_dim or 4 * channels[0], name="time_embedding", **types
        )(temb)

        h = nn.Conv(channels[0], (3, 3), padding=1, name="conv_in", **types)(sample)
        skips = [h]
        for i, kind in enumerate(config.down_block_types):
            block = DownBlock(
                channels[i], "Attn" in kind, i < last, config, name=f"down_blocks_{i}", **types
            )
            skips += block(skips[-1], temb)

        h = MidBlock(config, name="mid_block", **types)(skips[-1], temb)

        for i, kind in enumerate(config.up_block_types):
            block = UpBlock(
                channels[last - i], "Attn" in kind, i < last, config, name=f"up_blocks_{i}", **types
            )
            h = block(h, [skips.pop() for _ in range(config.layers_per_block + 1)], temb)
        assert not skips

        h = GroupNorm(config.norm_num_groups, config.norm_eps, name="conv_norm_out", **types)(h)
        h = nn.Conv(config.out_channels, (3, 3), padding=1, name="conv_out", **types)(nn.silu(h))
        h = h.astype(jnp.float32)
        if config.time_embedding_type == "fourier":
            h = h / timesteps.astype(jnp.float32)[:, None, None, None]
        return h
