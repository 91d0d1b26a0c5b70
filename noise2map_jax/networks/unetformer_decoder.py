"""UNetFormer's decoder (Wang et al. 2022), with the names of its authors."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.global_local_attention import (
    MLP,
    GlobalLocalAttention,
    relu6,
    separable_conv_norm,
)
from noise2map_jax.networks.layers import Dropout, conv_norm, convolution, last_layer
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.training import Training

EPSILON = 1e-8  # of the weights of a sum


class Block(nn.Module):
    """Attention beside convolutions and an MLP, over batch normalisation, added to their input."""

    num_heads: int
    window_size: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        h = BatchNorm(name="norm1", **types)(x, training)
        attention = GlobalLocalAttention(self.num_heads, self.window_size, name="attn", **types)
        x = x + attention(h, h, training)
        return x + MLP(name="mlp", **types)(BatchNorm(name="norm2", **types)(x, training))


def fuse_weighted(
    module: nn.Module,
    x: jax.Array,
    finer: jax.Array,
    training: Training | None,
    *,
    param_dtype: Any,
) -> jax.Array:
    """Enlarge a map and add one of the encoder, with weights that are learned and sum to 1.

    Called within a compact method of `module`, which the layers then belong to.

    Args:
        module: the module that calls.
        x: [B, h, w, C].
        finer: [B, H, W, D].
        training: for the batch normalisation.
        param_dtype: type of the parameters.

    Returns:
        [B, H, W, C].
    """
    types = {"param_dtype": param_dtype}
    x = resize(x, *finer.shape[1:3], align_corners=False)
    weights = nn.relu(module.param("weights", nn.initializers.ones, (2,), param_dtype))
    first, second = (weights / (weights.sum() + EPSILON)).astype(x.dtype)
    x = first * convolution(finer, x.shape[-1], 1, name="pre_conv_0", **types) + second * x
    return relu6(conv_norm(x, x.shape[-1], 3, training, name="post_conv", **types))


class WeightedFusion(nn.Module):
    """A weighted sum of a map, enlarged, and one of the encoder; see `fuse_weighted`."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, finer: jax.Array, training: Training | None = None
    ) -> jax.Array:
        """Map [B, h, w, C] and [B, H, W, D] to [B, H, W, C]."""
        return fuse_weighted(self, x, finer, training, param_dtype=self.param_dtype)


class FeatureRefinement(nn.Module):
    """A weighted sum whose pixels and channels are then weighed."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, finer: jax.Array, training: Training | None = None
    ) -> jax.Array:
        """Map [B, h, w, C] and [B, H, W, D] to [B, H, W, C]."""
        types = {"param_dtype": self.param_dtype}
        x = fuse_weighted(self, x, finer, training, **types)
        channels = x.shape[-1]
        shortcut = conv_norm(x, channels, 1, training, name="shortcut", **types)
        options: Any = {"groups": channels, "use_bias": True, **types}
        of_pixels = nn.sigmoid(convolution(x, channels, 3, name="pa_0", **options))
        mean = x.mean((1, 2), keepdims=True)
        mean = relu6(convolution(mean, max(channels // 16, 1), 1, name="ca_1_0", **types))
        of_channels = nn.sigmoid(convolution(mean, channels, 1, name="ca_3_0", **types))
        x = of_pixels * x + of_channels * x
        return relu6(separable_conv_norm(x, 3, training, name="proj", **types) + shortcut)


class UNetFormerDecoder(nn.Module):
    """From four features to logits at the resolution of the finest.

    Attributes:
        num_classes: number of outputs.
        width: channels.
        num_heads: heads of attention.
        window_size: side of the windows of attention in pixels, even.
        dropout_rate: dropout of whole channels before the last layer.
        param_dtype: type of the parameters.
    """

    num_classes: int
    width: int = 64
    num_heads: int = 8
    window_size: int = 8
    dropout_rate: float = 0.1
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, features: Sequence[jax.Array], training: Training | None = None
    ) -> jax.Array:
        """Map four features, fine to deep, to [B, h, w, num_classes] float32 of the finest."""
        types = {"param_dtype": self.param_dtype}
        first, second, third, fourth = features
        x = conv_norm(fourth, self.width, 1, training, name="pre_conv", **types)
        x = self._block("b4", x, training)
        x = WeightedFusion(name="p3", **types)(x, third, training)
        x = self._block("b3", x, training)
        x = WeightedFusion(name="p2", **types)(x, second, training)
        x = self._block("b2", x, training)
        x = FeatureRefinement(name="p1", **types)(x, first, training)
        x = conv_norm(x, self.width, 3, training, name="segmentation_head_0", **types)
        x = Dropout(self.dropout_rate, (1, 2), name="dropout")(relu6(x), training)
        options: Any = {"use_bias": False, **types}
        return last_layer(x, self.num_classes, 1, name="segmentation_head_2_0", **options)

    def _block(self, name: str, x: jax.Array, training: Training | None) -> jax.Array:
        block = Block(self.num_heads, self.window_size, self.param_dtype, name=name)
        result: jax.Array = block(x, training)
        return result
