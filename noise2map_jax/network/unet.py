"""The U-Net of denoising diffusion in Flax Linen; term by term the `UNet2DModel` of diffusers.

Sub-modules have the names of diffusers, with `_` for `.` before a number, so weights map
mechanically (`weights/names.py`).
"""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.network.layers import (
    Attention,
    Conv,
    Downsample,
    FourierProjection,
    GroupNorm,
    ResnetBlock,
    TimeEmbedding,
    Upsample,
    timestep_embedding,
)
from noise2map_jax.network.rematerialization import rematerialized
from noise2map_jax.network.unet_config import UNetConfig, block_types

__all__ = ["UNet", "UNetConfig", "block_types", "timestep_embedding"]


class DownBlock(nn.Module):
    """Residual blocks, optionally with attention, then half the resolution."""

    features: int
    attention: bool
    downsample: bool
    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: str = "none"

    @nn.compact
    def __call__(self, h: jax.Array, temb: jax.Array) -> list[jax.Array]:
        """Map [B, H, W, C] to the outputs of all layers; a downsampled one comes last."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config, outputs = self.config, []
        resnet, attention = _modules(self.remat)
        for i in range(config.layers_per_block):
            h = resnet(self.features, config, name=f"resnets_{i}", **types)(h, temb)
            if self.attention:
                h = attention(config, config.norm_num_groups, name=f"attentions_{i}", **types)(h)
            outputs.append(h)
        if self.downsample:
            outputs.append(Downsample(config, name="downsamplers_0", **types)(h))
        return outputs


class MidBlock(nn.Module):
    """Residual block, optional attention, residual block, at the lowest resolution."""

    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: str = "none"

    @nn.compact
    def __call__(self, h: jax.Array, temb: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config, features, factor = self.config, h.shape[-1], self.config.mid_block_scale_factor
        resnet, attention = _modules(self.remat)
        groups = config.attn_norm_num_groups
        if groups is None and config.resnet_time_scale_shift == "default":
            # With "scale_shift" diffusers does not normalise this attention.
            groups = config.norm_num_groups
        h = resnet(features, config, factor, name="resnets_0", **types)(h, temb)
        if config.add_attention:
            h = attention(config, groups, factor, name="attentions_0", **types)(h)
        return resnet(features, config, factor, name="resnets_1", **types)(h, temb)


class UpBlock(nn.Module):
    """Residual blocks over the skips, optionally with attention, then twice the resolution."""

    features: int
    attention: bool
    upsample: bool
    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: str = "none"

    @nn.compact
    def __call__(self, h: jax.Array, skips: list[jax.Array], temb: jax.Array) -> jax.Array:
        """Map [B, H, W, C] and one skip a layer, in order of use, to the block's output."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config = self.config
        resnet, attention = _modules(self.remat)
        for i, skip in enumerate(skips):
            h = resnet(self.features, config, name=f"resnets_{i}", **types)(h, temb, skip)
            if self.attention:
                h = attention(config, config.norm_num_groups, name=f"attentions_{i}", **types)(h)
        if self.upsample:
            h = Upsample(name="upsamplers_0", **types)(h)
        return h


def _modules(remat: str) -> tuple[Any, Any]:
    return rematerialized(ResnetBlock, remat), rematerialized(Attention, remat)


class UNet(nn.Module):
    """The U-Net of denoising diffusion (Ho et al. 2020).

    Initial values are those of Flax: kernels of variance 1/fan_in, biases 0. Ho et al. start the
    last convolution with zeros, which suits an output that enters the loss directly. Here a head
    follows, which would see only zeros at first.

    Attributes:
        config: config of the network.
        dtype: compute type.
        param_dtype: type of the parameters.
        remat: what the backward pass computes again, a key of `rematerialization.POLICIES`.
    """

    config: UNetConfig
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: str = "none"

    @nn.compact
    def __call__(self, sample: jax.Array, timesteps: jax.Array) -> jax.Array:
        """Predict an image from a noisy image and its timestep.

        Args:
            sample: [B, H, W, in_channels]; H and W divisible by 2 ** (levels - 1).
            timesteps: [B], whole or fractional.

        Returns:
            [B, H, W, out_channels] float32.

        Raises:
            UserError: the size is not divisible for all levels, or the number of channels is wrong.
            AssertionError: timesteps is not [B]: a single t would broadcast.
        """
        chex.assert_rank(sample, 4)
        chex.assert_shape(timesteps, sample.shape[:1])
        config = self.config
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        blocks = types | {"remat": self.remat}
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

        h = Conv(channels[0], (3, 3), padding=1, name="conv_in", **types)(sample)
        skips = [h]
        for i, kind in enumerate(config.down_block_types):
            down = DownBlock(
                channels[i], "Attn" in kind, i < last, config, name=f"down_blocks_{i}", **blocks
            )
            skips += down(skips[-1], temb)

        h = MidBlock(config, name="mid_block", **blocks)(skips[-1], temb)

        for i, kind in enumerate(config.up_block_types):
            up = UpBlock(
                channels[last - i],
                "Attn" in kind,
                i < last,
                config,
                name=f"up_blocks_{i}",
                **blocks,
            )
            h = up(h, [skips.pop() for _ in range(config.layers_per_block + 1)], temb)
        assert not skips

        norm = {"num_groups": config.norm_num_groups, "epsilon": config.norm_eps, **types}
        h = GroupNorm(silu=True, name="conv_norm_out", **norm)(h)
        h = Conv(config.out_channels, (3, 3), padding=1, name="conv_out", **types)(h)
        h = h.astype(jnp.float32)
        if config.time_embedding_type == "fourier":
            h = h / timesteps.astype(jnp.float32)[:, None, None, None]
        return h
