"""UNet++ (Zhou et al. 2018): a U-Net with blocks between encoder and decoder."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.layers import last_layer
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.unet_decoder import UNetBlock, check_features


class UNetPlusPlus(nn.Module):
    """UNet++ with the layers and names of segmentation_models.pytorch 0.6, one output at full size.

    Attributes:
        num_classes: number of outputs.
        encoder: `ResNet` or `MiT`.
        decoder_channels: channels of the outer blocks, deep to fine; those between have the
            channels of the encoder's features.
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
        x = UNetPlusPlusDecoder(self.decoder_channels, name="decoder", **types)(features, training)
        return last_layer(x, self.num_classes, 3, name="segmentation_head_0", **types)


class UNetPlusPlusDecoder(nn.Module):
    """A triangle of blocks: each takes the block before it in its row, and all blocks below.

    Attributes:
        channels: channels of the outer blocks, deep to fine.
        param_dtype: type of the parameters.
    """

    channels: Sequence[int]
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Sequence[jax.Array], training: Training | None) -> jax.Array:
        """Decode features, fine to deep from half the input's size; each has half the size before.

        Returns:
            [B, H, W, channels[-1]].

        Raises:
            UserError: there are not as many features as channels, or not of these sizes.
        """
        check_features(self.channels, features)
        blocks = _Blocks(self.channels, self.param_dtype, name="blocks")
        return blocks(features, training)


class _Blocks(nn.Module):
    """The blocks, in a module of their own for the sake of their names."""

    channels: Sequence[int]
    param_dtype: Any

    @nn.compact
    def __call__(self, features: Sequence[jax.Array], training: Training | None) -> jax.Array:
        deep_to_fine = features[::-1]
        last = len(self.channels) - 1
        # Block (row, column) starts from feature number `row`; columns have the size of the
        # feature after their number. Row 0 is the outer one.
        previous = list(deep_to_fine[:last])
        done: dict[tuple[int, int], jax.Array] = {}
        for distance in range(last):
            for row in range(last - distance):
                column = row + distance
                skip = deep_to_fine[column + 1]
                width = self.channels[column] if row == 0 else skip.shape[-1]
                below = [done[other, column] for other in range(row + 1, column + 1)]
                block = UNetBlock(width, self.param_dtype, name=f"x_{row}_{column}")
                done[row, column] = block(previous[row], training, *below, skip)
                previous[row] = done[row, column]
        block = UNetBlock(self.channels[last], self.param_dtype, name=f"x_0_{last}")
        return block(previous[0], training)
