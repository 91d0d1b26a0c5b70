"""BIT (Chen, Qi, Shi 2022): change detection with a transformer over a few tokens of each date.

Facts are those of the authors' code (justchenhao/BIT_CD).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.attention import attention
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.dates import encode_dates
from noise2map_jax.networks.layers import (
    LayerNorm,
    convolution,
    last_layer,
    linear,
    truncated_normal,
)
from noise2map_jax.networks.resizing import repeat_pixels, resize
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training


class Residual(nn.Module):
    """Adds the result of `fn` to its first input. It is called `fn` in the authors' files."""

    fn: nn.Module

    def __call__(self, x: jax.Array, *context: jax.Array) -> jax.Array:
        """Map x [B, N, D] to the same shape."""
        return x + self.fn(x, *context)


class PreNorm(nn.Module):
    """Normalises all inputs of `fn` with one LayerNorm."""

    fn: nn.Module
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *context: jax.Array) -> jax.Array:
        """Map x [B, N, D] to the same shape."""
        norm = LayerNorm(1e-5, dtype=x.dtype, param_dtype=self.param_dtype, name="norm")
        return self.fn(norm(x), *map(norm, context))


class SelfAttention(nn.Module):
    """Attention among tokens; the scale comes from the width of tokens, not of heads."""

    heads: int
    head_dim: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, N, D] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        width = self.heads * self.head_dim
        channels = x.shape[-1]
        projected = _project(x, 3 * width, name="to_qkv", **types)
        query, key, value = jnp.split(projected, 3, axis=-1)
        options = {"num_heads": self.heads, "scale": channels**-0.5}
        h = attention(query, key, value, **options)
        return linear(h, channels, name="to_out_0", **types)


class CrossAttention(nn.Module):
    """Attention of pixels to tokens; the scale comes from the width of pixels, not of heads."""

    heads: int
    head_dim: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, tokens: jax.Array) -> jax.Array:
        """Map pixels [B, N, D] and tokens [B, L, D] to [B, N, D]."""
        types = {"param_dtype": self.param_dtype}
        width = self.heads * self.head_dim
        channels = x.shape[-1]
        sources = {"to_q": x, "to_k": tokens, "to_v": tokens}
        query, key, value = (
            _project(source, width, name=name, **types) for name, source in sources.items()
        )
        options = {"num_heads": self.heads, "scale": channels**-0.5}
        h = attention(query, key, value, **options)
        return linear(h, channels, name="to_out_0", **types)


def _project(x: jax.Array, features: int, *, name: str, param_dtype: Any) -> jax.Array:
    return nn.Dense(
        features,
        use_bias=False,
        dtype=x.dtype,
        param_dtype=param_dtype,
        kernel_init=truncated_normal,
        name=name,
    )(x)


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    width: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, N, D] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        h = nn.gelu(linear(x, self.width, name="net_0", **types), approximate=False)
        return linear(h, x.shape[-1], name="net_3", **types)


class Layers(nn.Module):
    """Attention and MLP, several times."""

    depth: int
    attention: type[nn.Module]
    heads: int
    head_dim: int
    mlp_dim: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *context: jax.Array) -> jax.Array:
        """Map x [B, N, D], and what it attends to, to [B, N, D]."""
        types = {"param_dtype": self.param_dtype}

        # Without a parent, a module is given the name of the attribute that holds it: `fn`.
        def residual(fn: nn.Module, name: str) -> Residual:
            return Residual(PreNorm(fn, parent=None, **types), name=name)

        for layer in range(self.depth):
            attention = self.attention(self.heads, self.head_dim, parent=None, **types)
            x = residual(attention, f"layers_{layer}_0")(x, *context)
            x = residual(MLP(self.mlp_dim, parent=None, **types), f"layers_{layer}_1")(x)
        return x


class BIT(nn.Module):
    """BIT: pairs [pre, post] -> logits of the change.

    Each date's map (a ResNet's to layer 3, doubled, `dim` channels) is summarised in a few tokens:
    averages over pixels with learned weights. The tokens of both dates attend to each other; then
    each date's pixels attend to its tokens. The absolute difference of the dates is classified.

    In training, the ResNet's batch normalisation sees each date by itself, the earlier one first.
    Initial values are as in `layers`, those of positions normal of deviation 1.

    Attributes:
        num_classes: number of outputs.
        resnet: the encoder; its last map is used. Published: stride 8, layer 3 without stride.
        dim: channels of maps and tokens.
        tokens: tokens of each date.
        heads: heads of attention.
        encoder_depth: layers among tokens.
        encoder_head_dim: channels of a head there.
        decoder_depth: layers from pixels to tokens.
        decoder_head_dim: channels of a head there.
        mlp_dim: channels between the linear layers of an MLP.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    resnet: Any = ResNet(widths=(64, 64, 128, 256), blocks=(2, 2, 2), strides=(1, 2, 1))
    dim: int = 32
    tokens: int = 4
    heads: int = 8
    encoder_depth: int = 1
    encoder_head_dim: int = 64
    decoder_depth: int = 8
    decoder_head_dim: int = 64
    mlp_dim: int = 64
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        return self.resnet.stride

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map pairs [B, H, W, C], the earlier date first, to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, or C is odd.
        """
        check_tile_size(self, x)
        types = {"param_dtype": self.param_dtype}

        def encode(images: jax.Array, training: Training | None) -> jax.Array:
            deepest = repeat_pixels(self.resnet(images, training)[-1])
            return convolution(deepest, self.dim, 3, use_bias=True, name="conv_pred", **types)

        maps = jnp.concatenate(encode_dates(encode, x.astype(self.dtype), training))
        pixels = maps.reshape(maps.shape[0], -1, self.dim)  # [2B, h w, dim], earlier dates first
        tokens = self._mix(self._tokens(maps))
        options = (self.heads, self.decoder_head_dim, self.mlp_dim)
        decode = Layers(
            self.decoder_depth, CrossAttention, *options, name="transformer_decoder", **types
        )
        pre, post = jnp.split(decode(pixels, tokens).reshape(maps.shape), 2)
        h = resize(jnp.abs(pre - post), *x.shape[1:3], align_corners=False)
        h = convolution(h, self.dim, 3, name="classifier_0", **types)
        h = nn.relu(BatchNorm(name="classifier_1", **types)(h, training))
        return last_layer(h, self.num_classes, 3, name="classifier_3", **types)

    def _tokens(self, maps: jax.Array) -> jax.Array:
        """Average maps [2B, h, w, dim] with learned weights: [2B, tokens, dim]."""
        scores = convolution(maps, self.tokens, 1, name="conv_a", param_dtype=self.param_dtype)
        weights = nn.softmax(scores.astype(jnp.float32), axis=(1, 2)).astype(maps.dtype)
        return jnp.einsum("bhwt,bhwd->btd", weights, maps)

    def _mix(self, tokens: jax.Array) -> jax.Array:
        """Let the tokens [2B, tokens, dim] of both dates attend to each other."""
        shape = (1, 2 * self.tokens, self.dim)
        normal = nn.initializers.normal(1.0)
        positions = self.param("pos_embedding", normal, shape, self.param_dtype)
        both = jnp.concatenate(jnp.split(tokens, 2), axis=1) + positions.astype(tokens.dtype)
        options = (self.heads, self.encoder_head_dim, self.mlp_dim)
        types = {"param_dtype": self.param_dtype}
        mix = Layers(self.encoder_depth, SelfAttention, *options, name="transformer", **types)
        return jnp.concatenate(jnp.split(mix(both), 2, axis=1))
