"""The first version of VMamba's encoder, which RS3Mamba takes: gated scans without MLPs.

Facts were read in sstary/SSRS (Apache-2.0). Modules have the authors' names. `vmamba` is the later
version.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import (
    Conv,
    DropPath,
    drop_path_rates,
    he_normal,
    layer_norm,
    linear,
)
from noise2map_jax.networks.ss2d import EPSILON, SS2D
from noise2map_jax.networks.training import Training


class PatchEmbedding(nn.Module):
    """Patches that do not overlap, as vectors."""

    features: int
    patch_size: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H / patch_size, W / patch_size, features]."""
        size = (self.patch_size, self.patch_size)
        x = Conv(
            self.features,
            size,
            strides=size,
            padding=0,
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            kernel_init=he_normal,
            name="proj",
        )(x)
        return layer_norm(x, EPSILON, name="norm", param_dtype=self.param_dtype)


class PatchMerging(nn.Module):
    """Joins 2x2 pixels to one of twice the channels."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H / 2, W / 2, 2 C]."""
        # By columns: upper left, lower left, upper right, lower right.
        pixels = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        h = jnp.concatenate(pixels, axis=-1)
        h = layer_norm(h, EPSILON, name="norm", param_dtype=self.param_dtype)
        options: Any = {"use_bias": False, "param_dtype": self.param_dtype}
        return linear(h, 2 * x.shape[-1], name="reduction", **options)


class VSSBlock(nn.Module):
    """A gated scan over LayerNorm, added to its input."""

    state_dim: int
    drop_path_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        scan = SS2D(
            state_dim=self.state_dim, gated=True, conv_bias=True, name="self_attention", **types
        )
        h = scan(layer_norm(x, EPSILON, name="ln_1", **types))
        return x + DropPath(self.drop_path_rate, name="drop_path")(h, training)


class VSSLayer(nn.Module):
    """The blocks of a stage."""

    rates: Sequence[float]
    state_dim: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        for number, rate in enumerate(self.rates):
            x = VSSBlock(self.state_dim, rate, name=f"blocks_{number}", **types)(x, training)
        return x


class VSSM(nn.Module):
    """Stages of gated scans, each at half the resolution of the one before.

    Attributes:
        patch_size: side of the patches that begin the network.
        width: channels of the first stage; each stage has twice those of the one before.
        depths: number of blocks of the stages.
        state_dim: states of a channel in a scan.
        drop_path_rate: stochastic depth of the last block, linearly from 0 in the first.
        param_dtype: type of the parameters.
    """

    patch_size: int = 2
    width: int = 96
    depths: Sequence[int] = (2, 2, 9, 2)
    state_dim: int = 16
    drop_path_rate: float = 0.2
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> list[jax.Array]:
        """Encode [B, H, W, C] as the outputs of the stages, fine to deep.

        H and W are multiples of patch_size * 2 ** (stages - 1).

        Raises:
            UserError: there is no stage.
        """
        if not self.depths:
            raise UserError("a VSSM has no depths; give the number of blocks of each stage")
        types = {"param_dtype": self.param_dtype}
        x = PatchEmbedding(self.width, self.patch_size, name="patch_embed", **types)(x)
        features: list[jax.Array] = []
        for stage, rates in enumerate(drop_path_rates(self.drop_path_rate, self.depths)):
            if stage:
                x = PatchMerging(name=f"downsamples_{stage - 1}", **types)(x)
            x = VSSLayer(rates, self.state_dim, name=f"layers_{stage}", **types)(x, training)
            features.append(x)
        return features
