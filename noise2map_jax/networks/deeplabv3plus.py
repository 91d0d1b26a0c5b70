"""DeepLabV3+ (Chen et al. 2018)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.atrous_pooling import AtrousPooling
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.layers import conv_norm_relu, last_layer, separable_convolution
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ with the layers and names of segmentation_models.pytorch 0.6.

    Attributes:
        num_classes: number of outputs.
        encoder: usually `ResNet(...).dilated(16)`.
        decoder_channels: channels of the decoder.
        low_level_channels: channels that the feature of stride 4 is reduced to.
        atrous_rates: dilations of the parallel 3x3 convolutions. On tiles of 256 pixels at stride
            16, rates of 16 and more see only the centre of their kernel.
        aspp_separable: whether those convolve each channel alone, and then mix channels.
        dropout_rate: dropout after those convolutions.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    encoder: Any = ResNet().dilated(16)
    decoder_channels: int = 256
    low_level_channels: int = 48
    atrous_rates: Sequence[int] = (12, 24, 36)
    aspp_separable: bool = True
    dropout_rate: float = 0.5
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
        features = self.encoder(x.astype(self.dtype), training)
        decoder = DeepLabV3PlusDecoder(
            self.decoder_channels,
            self.low_level_channels,
            self.atrous_rates,
            self.aspp_separable,
            self.dropout_rate,
            name="decoder",
            **types,
        )
        h = decoder(features[2], features[-1], training)
        logits = last_layer(h, self.num_classes, 1, name="segmentation_head_0", **types)
        return resize(logits, height, width, align_corners=True)


class DeepLabV3PlusDecoder(nn.Module):
    """Atrous pooling of the deepest feature, joined with the feature of stride 4."""

    features: int
    low_level_features: int
    rates: Sequence[int]
    separable: bool
    dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, low_level: jax.Array, deepest: jax.Array, training: Training | None
    ) -> jax.Array:
        """Map [B, H, W, C] and a smaller [B, H', W', D] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        _, height, width, _ = low_level.shape
        pooling = AtrousPooling(
            self.features, self.rates, self.separable, self.dropout_rate, name="aspp_0", **types
        )
        h = separable_convolution(pooling(deepest, training), self.features, name="aspp_1", **types)
        h = nn.relu(BatchNorm(name="aspp_2", **types)(h, training))
        h = resize(h, height, width, align_corners=True)
        low_level = conv_norm_relu(
            low_level, self.low_level_features, 1, training, name="block1", **types
        )
        h = jnp.concatenate([h, low_level], axis=-1)
        h = separable_convolution(h, self.features, name="block2_0", **types)
        return nn.relu(BatchNorm(name="block2_1", **types)(h, training))
