"""VMamba (Liu et al. 2024), an encoder of selective scans over maps in four directions.

Facts were read in VMamba (MzeroMiko, MIT) and in what ChangeMamba makes of it
(ChenHongruixuan/MambaCD, Apache-2.0). Modules have the authors' names.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import (
    DropPath,
    convolution,
    drop_path_rates,
    layer_norm,
    linear,
)
from noise2map_jax.networks.ss2d import EPSILON, SS2D
from noise2map_jax.networks.training import Training


class MLP(nn.Module):
    """Two linear layers with GELU in between."""

    ratio: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types, hidden = {"param_dtype": self.param_dtype}, int(self.ratio * x.shape[-1])
        if hidden < 1:
            raise UserError(
                f"an MLP of {self.ratio} x {x.shape[-1]} channels has none; take a larger mlp_ratio"
            )
        h = linear(x, hidden, name="fc1", **types)
        return linear(nn.gelu(h, approximate=False), x.shape[-1], name="fc2", **types)


class VSSBlock(nn.Module):
    """A selective scan and an MLP, each over LayerNorm and added to its input.

    Attributes:
        ssm_ratio: `SS2D.ratio`.
        state_dim: `SS2D.state_dim`.
        mlp_ratio: hidden channels of the MLP for a channel.
        drop_path_rate: stochastic depth of both.
        param_dtype: type of the parameters.
    """

    ssm_ratio: float = 2.0
    state_dim: int = 1
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.0
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        h = layer_norm(x, EPSILON, name="norm", **types)
        h = SS2D(self.ssm_ratio, self.state_dim, name="op", **types)(h)
        x = x + DropPath(self.drop_path_rate, name="drop_path")(h, training)
        h = MLP(self.mlp_ratio, name="mlp", **types)(layer_norm(x, EPSILON, name="norm2", **types))
        return x + DropPath(self.drop_path_rate, name="drop_path2")(h, training)


class Stage(nn.Module):
    """Blocks of one resolution, and the convolution that leads to the next one.

    Attributes:
        rates: stochastic depth of each block.
        next_width: channels of the next stage; 0 = there is none.
        ssm_ratio: `SS2D.ratio`.
        state_dim: `SS2D.state_dim`.
        mlp_ratio: hidden channels of the MLPs for a channel.
        param_dtype: type of the parameters.
    """

    rates: Sequence[float]
    next_width: int
    ssm_ratio: float
    state_dim: int
    mlp_ratio: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, training: Training | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Map [B, H, W, C] to the same shape, and to what the next stage sees."""
        types = {"param_dtype": self.param_dtype}
        for block, rate in enumerate(self.rates):
            x = VSSBlock(
                self.ssm_ratio,
                self.state_dim,
                self.mlp_ratio,
                rate,
                name=f"blocks_{block}",
                **types,
            )(x, training)
        if not self.next_width:
            return x, x
        return x, halve(x, self.next_width, "downsample", (1, 3), **types)


def halve(
    x: jax.Array, features: int, name: str, numbers: tuple[int, int], *, param_dtype: Any
) -> jax.Array:
    """Convolve [B, H, W, C] to [B, H / 2, W / 2, features] and normalise it.

    The modules belong to the one that calls, as `name` with these numbers.
    """
    types = {"param_dtype": param_dtype}
    conv, norm = (f"{name}_{number}" for number in numbers)
    x = convolution(x, features, 3, strides=2, use_bias=True, name=conv, **types)
    return layer_norm(x, EPSILON, name=norm, **types)


class VMamba(nn.Module):
    """Stages of selective scans, at strides 4, 8, 16, 32; computes in its input's type.

    This is the version with overlapping patches: convolutions of stride 2 begin the network and end
    all stages but the last. There may be fewer or more stages.

    Attributes:
        embed_dims: channels of the stages.
        depths: number of blocks of the stages.
        ssm_ratio: `SS2D.ratio`.
        state_dim: `SS2D.state_dim`.
        mlp_ratio: hidden channels of the MLPs for a channel.
        drop_path_rate: stochastic depth of the last block, linearly from 0 in the first.
        param_dtype: type of the parameters.
    """

    embed_dims: Sequence[int] = (96, 192, 384, 768)
    depths: Sequence[int] = (2, 2, 4, 2)
    ssm_ratio: float = 2.0
    state_dim: int = 1
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.2
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns are multiples of, so that no stage sees half a pixel."""
        return int(2 ** (len(self.embed_dims) + 1))

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> list[jax.Array]:
        """Encode [B, H, W, C] as the normalised outputs of the stages, fine to deep.

        Raises:
            UserError: there are more or fewer `depths` than `embed_dims`.
        """
        if len(self.depths) != len(self.embed_dims):
            raise UserError(
                f"a VMamba has {len(self.embed_dims)} embed_dims, but {len(self.depths)} depths; "
                "give one number for each stage"
            )
        if self.embed_dims[0] < 2:
            raise UserError(f"a VMamba begins with {self.embed_dims[0]} embed_dims; take 2 or more")
        types = {"param_dtype": self.param_dtype}
        x = halve(x, self.embed_dims[0] // 2, "patch_embed", (0, 2), **types)
        x = nn.gelu(x, approximate=False)
        x = halve(x, self.embed_dims[0], "patch_embed", (5, 7), **types)
        features = []
        widths = (*self.embed_dims[1:], 0)
        for stage, rates in enumerate(drop_path_rates(self.drop_path_rate, self.depths)):
            shape = (self.ssm_ratio, self.state_dim, self.mlp_ratio)
            feature, x = Stage(rates, widths[stage], *shape, name=f"layers_{stage}", **types)(
                x, training
            )
            features.append(layer_norm(feature, EPSILON, name=f"outnorm{stage}", **types))
        return features
