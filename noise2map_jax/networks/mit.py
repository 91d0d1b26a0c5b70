"""Mix Transformer, the encoder of SegFormer (Xie et al. 2021), with the names of its authors."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.attention import attention
from noise2map_jax.networks.layers import (
    Dropout,
    DropPath,
    convolution,
    drop_path_rates,
    he_normal,
    layer_norm,
    linear,
)
from noise2map_jax.networks.training import Training


class MiT(nn.Module):
    """Four stages of attention over maps, at strides 4, 8, 16, 32; computes in its input's type.

    There may be fewer or more stages: `embed_dims` and `depths` decide.

    Attributes:
        embed_dims: channels of the stages.
        depths: number of blocks of the stages.
        num_heads: heads of attention of the stages.
        mlp_ratios: hidden channels of the MLPs for a channel of the stages.
        sr_ratios: side of the squares that keys and values are reduced by.
        patch_sizes: side of the kernels that begin the stages; strides are 4, 2, 2, 2.
        epsilon: of the LayerNorms of blocks and at the ends of stages; the others have 1e-5.
        drop_path_rate: stochastic depth of the last block, linearly from 0 in the first.
        dropout_rate: dropout after attention and in MLPs.
        attention_dropout_rate: dropout of the weights of attention.
        param_dtype: type of the parameters.
    """

    embed_dims: Sequence[int] = (32, 64, 160, 256)
    depths: Sequence[int] = (2, 2, 2, 2)
    num_heads: Sequence[int] = (1, 2, 5, 8)
    mlp_ratios: Sequence[int] = (4, 4, 4, 4)
    sr_ratios: Sequence[int] = (8, 4, 2, 1)
    patch_sizes: Sequence[int] = (7, 3, 3, 3)
    epsilon: float = 1e-6
    drop_path_rate: float = 0.1
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    param_dtype: Any = jnp.float32

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Blocks and channels of each stage."""
        return tuple(zip(self.depths, self.embed_dims, strict=False))

    @property
    def feature_strides(self) -> tuple[int, ...]:
        """Pixels of the input for a pixel of each feature, the input's 1 first."""
        return tuple(2**number for number in range(len(self.embed_dims) + 2))

    @property
    def stride(self) -> int:
        """Pixels that rows and columns are multiples of, so that no stage cuts off an edge."""
        strides = self.feature_strides[2:]
        reduced = map(operator.mul, strides, self.sr_ratios)
        return math.lcm(*strides, *reduced)

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """Channels of the features after the input."""
        return (0, *self.embed_dims)

    def cut(self, depth: int) -> "MiT":
        """Return the encoder without the stages after feature number `depth`, 2 to 5."""
        if not 2 <= depth <= len(self.embed_dims) + 1:
            raise UserError(f"encoder_depth is {depth}; expected 2 to {len(self.embed_dims) + 1}")
        return self.clone(
            embed_dims=tuple(self.embed_dims[: depth - 1]), depths=tuple(self.depths[: depth - 1])
        )

    def _check_lengths(self) -> None:
        number = len(self.embed_dims)
        names = ("depths", "num_heads", "mlp_ratios", "sr_ratios", "patch_sizes")
        lengths = {name: len(getattr(self, name)) for name in names}
        # A cut encoder keeps what its last stages had beyond these two.
        few = [name for name, length in lengths.items() if length < number]
        if few or lengths["depths"] > number:
            raise UserError(
                f"a MiT has {number} embed_dims, but "
                + ", ".join(f"{lengths[name]} {name}" for name in few or ["depths"])
                + "; give one number for each stage"
            )

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> list[jax.Array]:
        """Encode [B, H, W, C] as [the input, nothing, stage 1, ..., stage 4], fine to deep.

        H and W are multiples of `stride`. "Nothing" is [B, H / 2, W / 2, 0]: there is no feature at
        stride 2.

        Raises:
            UserError: a stage lacks a number.
        """
        self._check_lengths()
        types = {"param_dtype": self.param_dtype}
        batch, height, width, _ = x.shape
        features = [x, jnp.zeros((batch, height // 2, width // 2, 0), x.dtype)]
        rates = drop_path_rates(self.drop_path_rate, self.depths)
        for stage, channels in enumerate(self.embed_dims):
            number = stage + 1
            stride = 4 if stage == 0 else 2
            name = f"patch_embed{number}"
            x = PatchEmbedding(channels, self.patch_sizes[stage], stride, name=name, **types)(x)
            for block, rate in enumerate(rates[stage]):
                x = Block(
                    num_heads=self.num_heads[stage],
                    mlp_ratio=self.mlp_ratios[stage],
                    reduction=self.sr_ratios[stage],
                    epsilon=self.epsilon,
                    drop_path_rate=rate,
                    dropout_rate=self.dropout_rate,
                    attention_dropout_rate=self.attention_dropout_rate,
                    name=f"block{number}_{block}",
                    **types,
                )(x, training)
            x = layer_norm(x, self.epsilon, name=f"norm{number}", **types)
            features.append(x)
        return features


class PatchEmbedding(nn.Module):
    """A strided convolution of overlapping patches, and LayerNorm."""

    features: int
    size: int
    stride: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H / stride, W / stride, features]."""
        types = {"param_dtype": self.param_dtype}
        x = convolution(
            x, self.features, self.size, strides=self.stride, use_bias=True, name="proj", **types
        )
        return layer_norm(x, 1e-5, name="norm", **types)


class Block(nn.Module):
    """Attention and an MLP, each added to its input; maps keep their size and channels."""

    num_heads: int
    mlp_ratio: int
    reduction: int
    epsilon: float
    drop_path_rate: float
    dropout_rate: float
    attention_dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        types = {"param_dtype": self.param_dtype}
        rate = self.drop_path_rate
        attend = Attention(
            self.num_heads,
            self.reduction,
            self.dropout_rate,
            self.attention_dropout_rate,
            name="attn",
            **types,
        )
        h = attend(layer_norm(x, self.epsilon, name="norm1", **types), training)
        x = x + DropPath(rate, name="drop_path1")(h, training)
        mlp = MLP(self.mlp_ratio * x.shape[-1], self.dropout_rate, name="mlp", **types)
        h = mlp(layer_norm(x, self.epsilon, name="norm2", **types), training)
        return x + DropPath(rate, name="drop_path2")(h, training)


class Attention(nn.Module):
    """Attention of all pixels to a reduced map."""

    num_heads: int
    reduction: int
    dropout_rate: float
    attention_dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]; H and W are multiples of `reduction`."""
        types = {"param_dtype": self.param_dtype}
        batch, _, _, channels = x.shape
        query = linear(x, channels, name="q", **types)
        reduced = x
        if self.reduction > 1:
            reduced = nn.Conv(
                channels,
                (self.reduction, self.reduction),
                strides=self.reduction,
                padding="VALID",
                dtype=x.dtype,
                kernel_init=he_normal,
                name="sr",
                **types,
            )(x)
            reduced = layer_norm(reduced, 1e-5, name="norm", **types)
        key, value = jnp.split(linear(reduced, 2 * channels, name="kv", **types), 2, axis=-1)
        query, key, value = (a.reshape(batch, -1, channels) for a in (query, key, value))
        mean = attention(
            query,
            key,
            value,
            num_heads=self.num_heads,
            dropout=Dropout(self.attention_dropout_rate, name="attn_drop"),
            training=training,
        )
        h = linear(mean.reshape(x.shape), channels, name="proj", **types)
        return Dropout(self.dropout_rate, name="proj_drop")(h, training)


class MLP(nn.Module):
    """Linear, depthwise 3x3, GELU, linear."""

    hidden: int
    dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        types = {"param_dtype": self.param_dtype}
        h = linear(x, self.hidden, name="fc1", **types)
        h = DepthwiseConvolution(name="dwconv", **types)(h)
        h = nn.gelu(h, approximate=False)
        h = Dropout(self.dropout_rate, name="drop1")(h, training)
        h = linear(h, x.shape[-1], name="fc2", **types)
        return Dropout(self.dropout_rate, name="drop2")(h, training)


class DepthwiseConvolution(nn.Module):
    """A 3x3 convolution of each channel, with bias."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        channels = x.shape[-1]
        options: Any = {"groups": channels, "use_bias": True, "param_dtype": self.param_dtype}
        return convolution(x, channels, 3, name="dwconv", **options)


_WIDE = (64, 128, 320, 512)
MITS = {
    "mit_b0": MiT(),
    "mit_b1": MiT(embed_dims=_WIDE),
    "mit_b2": MiT(embed_dims=_WIDE, depths=(3, 4, 6, 3)),
    "mit_b3": MiT(embed_dims=_WIDE, depths=(3, 4, 18, 3)),
    "mit_b4": MiT(embed_dims=_WIDE, depths=(3, 8, 27, 3)),
    "mit_b5": MiT(embed_dims=_WIDE, depths=(3, 6, 40, 3)),
}
