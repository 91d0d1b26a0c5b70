"""FC-Siam-conc and FC-Siam-diff over a ResNet's U-Net, as in torchgeo 0.8.

FC-EF over a ResNet is a U-Net (`unet`) whose images are pairs. The networks as first published
are in `fc_original`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.dates import encode_dates
from noise2map_jax.networks.layers import last_layer
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.unet_decoder import UNetDecoder

# How the features of both dates become one.
FUSIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "conc": lambda pre, post: jnp.concatenate([post, pre], axis=-1),
    "diff": lambda pre, post: post - pre,  # signed; the original takes the absolute difference
}


class FCSiam(nn.Module):
    """A U-Net whose encoder sees each date, and whose decoder sees the fused features.

    All features are fused, the deepest one, too. In training, the encoder's batch normalisation
    sees each date by itself, the earlier one first.

    Attributes:
        num_classes: number of outputs.
        fusion: how features of the dates are fused, a key of `FUSIONS`.
        encoder: `ResNet`, or `MiT`, which has no feature at stride 2.
        decoder_channels: channels of the decoder's blocks, deep to fine.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    fusion: str = "diff"
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
        """Map pairs [B, H, W, C], the earlier date first, to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, C is odd, or there is no such fusion.
        """
        check_tile_size(self, x)
        if self.fusion not in FUSIONS:
            names = ", ".join(map(repr, FUSIONS))
            raise UserError(f"FCSiam: fusion is {self.fusion!r}; expected one of {names}")
        types = {"param_dtype": self.param_dtype}
        # The first feature is the input.
        (_, *pre), (_, *post) = encode_dates(self.encoder, x.astype(self.dtype), training)
        features = [FUSIONS[self.fusion](*dates) for dates in zip(pre, post, strict=True)]
        decoder = UNetDecoder(self.decoder_channels, name="decoder", **types)
        return last_layer(
            decoder(features, training), self.num_classes, 3, name="segmentation_head_0", **types
        )
