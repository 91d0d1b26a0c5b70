"""The decoder of DPT: maps of four sizes from features of one, joined deep to fine."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.layers import convolution, linear
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.transposed_convolution import ConvTranspose

READOUTS = ("cat", "add", "ignore")


class DPTDecoder(nn.Module):
    """Gives feature i the stride 4 * 2**i, then adds up residual units from deep to fine."""

    patch_size: int
    readout: str
    intermediate_channels: Sequence[int]
    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: Sequence[tuple[jax.Array, jax.Array]], training: Training | None
    ) -> jax.Array:
        """Decode maps [B, H, W, D] with class tokens [B, 1, D] at half the size of the image.

        Returns:
            [B, H * patch_size / 2, W * patch_size / 2, features].
        """
        types = {"param_dtype": self.param_dtype}
        maps = []
        for number, ((x, token), channels) in enumerate(
            zip(inputs, self.intermediate_channels, strict=True)
        ):
            if self.readout == "cat":
                x = Readout(name=f"projection_blocks_{number}", **types)(x, token)
            elif self.readout == "add":
                x = x + jnp.broadcast_to(token[:, None], x.shape)
            maps.append(
                Reassemble(
                    channels,
                    self.features,
                    self.patch_size,
                    4 * 2**number,
                    name=f"reassemble_blocks_{number}",
                    **types,
                )(x)
            )
        *finer, x = maps
        x = Fusion(name="fusion_blocks_0", **types)(x, None, training)
        for number, finer_map in enumerate(reversed(finer), start=1):
            x = Fusion(name=f"fusion_blocks_{number}", **types)(finer_map, x, training)
        return x


class Readout(nn.Module):
    """Gives every patch the class token by a linear layer of both."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, token: jax.Array) -> jax.Array:
        """Map [B, H, W, D] and [B, 1, D] to [B, H, W, D]."""
        both = jnp.concatenate([x, jnp.broadcast_to(token[:, None], x.shape)], axis=-1)
        h = linear(both, x.shape[-1], name="project_0", param_dtype=self.param_dtype)
        return nn.gelu(h, approximate=False)


class Reassemble(nn.Module):
    """Changes the channels, and the stride from that of patches to another."""

    channels: int
    features: int
    patch_size: int
    stride: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, D] to [B, H * f, W * f, features], f = patch_size / stride."""
        types = {"param_dtype": self.param_dtype}
        x = convolution(x, self.channels, 1, use_bias=True, name="project_to_out_channel", **types)
        if self.patch_size > self.stride:
            factor = self.patch_size // self.stride
            x = ConvTranspose(self.channels, factor, factor, name="upsample", **types)(x)
        elif self.patch_size < self.stride:
            factor = self.stride // self.patch_size
            x = convolution(
                x, self.channels, 3, strides=factor, use_bias=True, name="upsample", **types
            )
        return convolution(x, self.features, 3, name="project_to_feature_dim", **types)


class Fusion(nn.Module):
    """Adds a map to the sum so far, between residual units, and doubles the size."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, previous: jax.Array | None, training: Training | None
    ) -> jax.Array:
        """Map [B, H, W, C] twice to [B, 2H, 2W, C]."""
        types = {"param_dtype": self.param_dtype}
        _, height, width, channels = x.shape
        x = ResidualUnit(name="residual_conv_block1", **types)(x, training)
        if previous is not None:
            x = x + previous
        x = ResidualUnit(name="residual_conv_block2", **types)(x, training)
        x = resize(x, 2 * height, 2 * width, align_corners=True)
        return convolution(x, channels, 1, use_bias=True, name="project", **types)


class ResidualUnit(nn.Module):
    """ReLU, 3x3 convolution and batch normalisation, twice, added to the input."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        types = {"param_dtype": self.param_dtype}
        h = x
        for number in (1, 2):
            h = convolution(nn.relu(h), x.shape[-1], 3, name=f"conv_{number}", **types)
            h = BatchNorm(name=f"batch_norm_{number}", **types)(h, training)
        return x + h
