"""U-Net (Ronneberger et al. 2015) over an encoder of classification."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.layers import last_layer
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.unet_decoder import UNetDecoder


class UNet(nn.Module):
    """U-Net with the layers and names of segmentation_models.pytorch 0.6.

    Attributes:
        num_classes: number of outputs.
        encoder: `ResNet`, or `MiT`, which has no feature at stride 2.
        decoder_channels: channels of the decoder's blocks, deep to fine.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    encoder: Any = ResNet()
    decoder_channels: Sequence[int] = (256, 128, 64, 32, 16)
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
            UserError: H or W is not a multiple of `stride`.
        """
        check_tile_size(self, x)
        types = {"param_dtype": self.param_dtype}
        _, *features = self.encoder(x.astype(self.dtype), training)
        decoder = UNetDecoder(self.decoder_channels, name="decoder", **types)
        x = decoder(features, training)
        return last_layer(x, self.num_classes, 3, name="segmentation_head_0", **types)
