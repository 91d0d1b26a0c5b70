"""The decoder of a U-Net (Ronneberger et al. 2015), named as in segmentation_models.pytorch."""

import itertools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import conv_norm_relu
from noise2map_jax.networks.resizing import repeat_pixels
from noise2map_jax.networks.training import Training


def check_features(channels: Sequence[int], features: Sequence[jax.Array]) -> None:
    """Raise a `UserError` unless each feature has a block of the decoder, and half the size."""
    if len(channels) != len(features):
        raise UserError(
            f"decoder_channels has {len(channels)} numbers and the encoder {len(features)} "
            "features; give one number for each feature"
        )
    sides = [x.shape[1] for x in features]
    if any(finer != 2 * deeper for finer, deeper in itertools.pairwise(sides)):
        raise UserError(
            f"the encoder's features have {', '.join(map(str, sides))} rows, but each block of the "
            "decoder doubles the size; give the encoder strides 1, 2, 2, ..."
        )


class UNetBlock(nn.Module):
    """Doubles the size, appends skips and convolves twice."""

    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None, *skips: jax.Array) -> jax.Array:
        """Map [B, H, W, C] and skips [B, 2H, 2W, Ci] to [B, 2H, 2W, features]; it may be 0."""
        if self.features == 0:  # a block of UNet++ beside an encoder without this feature
            batch, height, width, _ = x.shape
            return jnp.zeros((batch, 2 * height, 2 * width, 0), x.dtype)
        x = jnp.concatenate([repeat_pixels(x), *skips], axis=-1)
        for name in ("conv1", "conv2"):
            x = conv_norm_relu(
                x, self.features, 3, training, name=name, param_dtype=self.param_dtype
            )
        return x


class UNetDecoder(nn.Module):
    """From the deepest feature to full size, one block for each halving of the size.

    Attributes:
        channels: channels of the blocks, deep to fine.
        param_dtype: type of the parameters.
    """

    channels: Sequence[int] = (256, 128, 64, 32, 16)
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
        x, *skips = reversed(features)
        for number, width in enumerate(self.channels):
            block = UNetBlock(width, self.param_dtype, name=f"blocks_{number}")
            x = block(x, training, *skips[number : number + 1])
        return x
