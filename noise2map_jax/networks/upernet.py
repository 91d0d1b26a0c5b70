"""UPerNet (Xiao et al. 2018)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.layers import conv_norm_relu, last_layer, layer_norm
from noise2map_jax.networks.resizing import cell_average, resize
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training


class UPerNet(nn.Module):
    """UPerNet with the layers and names of segmentation_models.pytorch 0.6.

    Attributes:
        num_classes: number of outputs.
        encoder: `ResNet` or `MiT`; the features of strides 4 and more are used.
        decoder_channels: channels of the decoder.
        sizes: sides of the grids of cells that the deepest feature is averaged in.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    encoder: Any = ResNet()
    decoder_channels: int = 256
    sizes: Sequence[int] = (1, 2, 3, 6)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        return self.encoder.stride

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map images [B, H, W, C] to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, or there is one image in training.
        """
        check_tile_size(self, x)
        _, height, width, _ = x.shape
        types = {"param_dtype": self.param_dtype}
        features = self.encoder(x.astype(self.dtype), training)[2:]
        decoder = UPerNetDecoder(self.decoder_channels, self.sizes, name="decoder", **types)
        h = decoder(features, training)
        logits = last_layer(h, self.num_classes, 1, name="segmentation_head_0", **types)
        return resize(logits, height, width, align_corners=True)


class UPerNetDecoder(nn.Module):
    """A feature pyramid over pyramid pooling, joined at the size of its finest feature."""

    features: int
    sizes: Sequence[int]
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: Sequence[jax.Array], training: Training | None) -> jax.Array:
        """Join inputs [B, Hi, Wi, Ci], fine to deep, as [B, H0, W0, features]."""
        types = {"param_dtype": self.param_dtype}
        *finer, deepest = (
            layer_norm(x, 1e-6, name=f"feature_norms_{number}", **types)
            for number, x in enumerate(inputs)
        )
        x = PyramidPooling(self.features, self.sizes, name="psp", **types)(deepest, training)
        levels = [x]
        for number, lateral in enumerate(reversed(finer)):
            block = LateralBlock(self.features, name=f"fpn_lateral_blocks_{number}", **types)
            x = block(x, lateral, training)
            name = f"fpn_conv_blocks_{number}"
            levels.append(conv_norm_relu(x, self.features, 3, training, name=name, **types))
        height, width = inputs[0].shape[1:3]
        resized = [resize(h, height, width, align_corners=False) for h in reversed(levels)]
        x = jnp.concatenate(resized, axis=-1)
        return conv_norm_relu(x, self.features, 3, training, name="fusion_block", **types)


class LateralBlock(nn.Module):
    """Adds a finer feature, reduced by a 1x1 convolution, to the resampled sum so far."""

    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, lateral: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H', W', features] and lateral [B, H, W, C] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        h = conv_norm_relu(lateral, self.features, 1, training, name="conv_norm_relu", **types)
        return resize(x, *lateral.shape[1:3], align_corners=False) + h


class PyramidPooling(nn.Module):
    """Averages in grids of cells beside the input, mixed by a 3x3 convolution.

    The mean of each image is batch-normalised, so training needs more than one image in a batch.
    """

    features: int
    sizes: Sequence[int]
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        parts = [x]
        for number, size in enumerate(self.sizes):
            name = f"blocks_{number}_1"
            h = cell_average(x, size)
            h = conv_norm_relu(h, self.features, 1, training, name=name, **types)
            parts.append(resize(h, *x.shape[1:3], align_corners=False))
        x = jnp.concatenate(parts, axis=-1)
        return conv_norm_relu(x, self.features, 3, training, name="out_conv", **types)
