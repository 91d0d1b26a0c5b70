"""ELGC-Net (Noman et al. 2024): change detection with local and global context, few channels.

Facts were read in the authors' code (techmn/elgcnet, Apache-2.0). Its drop path is declared there
and never used, so there is none here.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.change_decoder import enlarge_to_image, fuse_scales
from noise2map_jax.networks.dates import encode_dates
from noise2map_jax.networks.layers import convolution, layer_norm
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training

_gelu = functools.partial(nn.gelu, approximate=False)


class ELGCA(nn.Module):
    """Efficient local and global context: three kinds of context, each for a part of the channels.

    A depthwise convolution sees half of the channels. The other half becomes `heads` groups of
    C / 4 channels: queries (the sum of the first groups), keys, values and a group that stays as it
    is. Attention is between channels: queries and keys are pooled to half the resolution, and
    the softmax, without a scale, is over the *queries'* channels.
    """

    heads: int = 4
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape; C is a multiple of 4, H and W of 2."""
        channels = x.shape[-1]
        convolved, projected = jnp.split(x, 2, axis=-1)
        types = {"param_dtype": self.param_dtype, "use_bias": True}
        half, quarter = channels // 2, channels // 4
        convolved = convolution(convolved, half, 3, groups=half, name="dwconv", **types)
        projected = convolution(projected, quarter * self.heads, 1, name="qkvl", **types)
        *queries, key, value, local = jnp.split(_gelu(projected), self.heads, axis=-1)

        # PyTorch's average counts the zeros around the image.
        query = nn.avg_pool(sum(queries[1:], queries[0]), (3, 3), (2, 2), ((1, 1), (1, 1)))
        key = nn.max_pool(key, (2, 2), (2, 2))
        scores = jnp.einsum(
            "bhwc,bhwd->bcd", query, key, preferred_element_type=jnp.float32
        )  # [B, C/4 of queries, C/4 of keys]
        weights = jax.nn.softmax(scores, axis=1).astype(value.dtype)
        attended = jnp.einsum("bcd,bhwc->bhwd", weights, value)
        return jnp.concatenate([_gelu(convolved), local, attended], axis=-1)


class MLP(nn.Module):
    """Two 1x1 convolutions with a depthwise 3x3 convolution, added to its input, between them."""

    ratio: int = 4
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype, "use_bias": True}
        channels = x.shape[-1]
        hidden = channels * self.ratio
        h = _gelu(convolution(x, hidden, 1, name="fc1", **types))
        h = h + _gelu(convolution(h, hidden, 3, groups=hidden, name="pos", **types))
        return convolution(h, channels, 1, name="fc2", **types)


class Block(nn.Module):
    """Context and MLP, each after a LayerNorm over channels and added to its input."""

    heads: int = 4
    mlp_ratio: int = 4
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        h = layer_norm(x, 1e-6, name="layer_norm1", **types)
        x = x + ELGCA(self.heads, name="attn", **types)(h)
        h = layer_norm(x, 1e-6, name="layer_norm2", **types)
        return x + MLP(self.mlp_ratio, name="mlp", **types)(h)


class Projection(nn.Module):
    """A convolution on a level of its own, as the authors name it."""

    features: int
    size: int = 1
    stride: int = 1
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H/stride, W/stride, features]."""
        return convolution(
            x,
            self.features,
            self.size,
            strides=self.stride,
            use_bias=True,
            name="proj",
            param_dtype=self.param_dtype,
        )


class Encoder(nn.Module):
    """Stages of overlapping patches, without a norm, and blocks."""

    depths: Sequence[int]
    widths: Sequence[int]
    heads: int = 4
    mlp_ratio: int = 4
    patch_size: int = 7
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """Map [B, H, W, C] to features at strides 4, 8, 16, ...."""
        types = {"param_dtype": self.param_dtype}
        features = []
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True), start=1):
            patch = (self.patch_size, 4 if stage == 1 else 2)
            x = Projection(width, *patch, name=f"patch_embed{stage}", **types)(x)
            for block in range(depth):
                options = (self.heads, self.mlp_ratio)
                x = Block(*options, name=f"block{stage}_{block}", **types)(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """Fuses the dates of each stage, then all stages, and enlarges the result to the image."""

    num_classes: int
    width: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        pre: Sequence[jax.Array],
        post: Sequence[jax.Array],
        training: Training | None = None,
    ) -> jax.Array:
        """Map features of both dates, fine to deep, to logits [B, H, W, num_classes] float32."""
        types = {"param_dtype": self.param_dtype}
        fused = []
        for stage, dates in enumerate(zip(pre, post, strict=True), start=1):
            project = Projection(self.width, name=f"linear_c{stage}", **types)
            both = jnp.concatenate([project(date) for date in dates], axis=-1)
            fused.append(_gelu(Projection(self.width, name=f"diff_c{stage}", **types)(both)))
        h = fuse_scales(fused, self.width, training, **types)
        return enlarge_to_image(h, self.num_classes, **types)


class ELGCNet(nn.Module):
    """ELGC-Net: pairs [pre, post] -> logits of the change.

    Initial values are as in `layers`. Only the decoder has a
    batch normalisation, after the dates are fused.

    Attributes:
        num_classes: number of outputs.
        depths: blocks of each stage.
        enc_channels: channels of each stage, multiples of 4.
        dec_embed_dim: channels of the decoder.
        heads: groups of channels in attention, at least 4.
        mlp_ratio: channels in an MLP per channel of its input.
        patch_size: rows and columns of patches, odd.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters.
    """

    num_classes: int
    depths: Sequence[int] = (3, 3, 4, 3)
    enc_channels: Sequence[int] = (64, 96, 128, 256)
    dec_embed_dim: int = 256
    heads: int = 4
    mlp_ratio: int = 4
    patch_size: int = 7
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of: attention halves each stage."""
        return 4 * 2 ** len(self.depths)

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map pairs [B, H, W, C], the earlier date first, to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, C is odd, or a width or `heads` does
                not fit the attention.
        """
        check_tile_size(self, x)
        if len(self.depths) != len(self.enc_channels):
            raise UserError(
                f"ELGC-Net: depths has {len(self.depths)} numbers and enc_channels "
                f"{len(self.enc_channels)}; give one of each for each stage"
            )
        for width in self.enc_channels:
            if width % 4:
                raise UserError(f"ELGC-Net: enc_channels has {width}; expected multiples of 4")
        if self.heads < 4:
            raise UserError(
                f"ELGC-Net: heads is {self.heads}; expected 4 or more: "
                "queries, keys, values and a local group"
            )
        types = {"param_dtype": self.param_dtype}
        encoder = Encoder(
            self.depths,
            self.enc_channels,
            self.heads,
            self.mlp_ratio,
            self.patch_size,
            name="enc",
            **types,
        )
        x = x.astype(self.dtype)
        pre, post = encode_dates(lambda images, _: encoder(images), x, training)
        decoder = Decoder(self.num_classes, self.dec_embed_dim, name="dec", **types)
        return decoder(pre, post, training)
