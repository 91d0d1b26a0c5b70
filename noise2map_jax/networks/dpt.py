"""DPT: dense prediction from a Vision Transformer (Ranftl et al. 2021)."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.dpt_decoder import READOUTS, DPTDecoder
from noise2map_jax.networks.layers import Dropout, convolution, last_layer
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.vit import ViTEncoder


class DPT(nn.Module):
    """DPT with the layers and names of segmentation_models.pytorch 0.6.

    Attributes:
        num_classes: number of outputs.
        encoder: Vision Transformer; its patches have 4, 8, 16 or 32 pixels.
        readout: what the class token gives to every patch: "cat" (the linear layer of both), "add"
            or "ignore".
        intermediate_channels: channels of the features at strides 4, 8, ..., one for each.
        fusion_channels: channels of the decoder.
        dropout_rate: dropout before the last layer.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    encoder: Any = ViTEncoder()
    readout: str = "cat"
    intermediate_channels: Sequence[int] = (256, 512, 1024, 1024)
    fusion_channels: int = 256
    dropout_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        return math.lcm(self.encoder.model.patch_size, 2 ** (len(self.intermediate_channels) + 1))

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map images [B, H, W, C] to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, or attributes do not fit together.
        """
        self._check()
        check_tile_size(self, x)
        _, height, width, _ = x.shape
        types = {"param_dtype": self.param_dtype}
        features = self.encoder(x.astype(self.dtype), training)
        decoder = DPTDecoder(
            self.encoder.model.patch_size,
            self.readout,
            self.intermediate_channels,
            self.fusion_channels,
            name="decoder",
            **types,
        )
        x = decoder(features, training)
        head = Head(self.num_classes, self.dropout_rate, name="segmentation_head", **types)
        return resize(head(x, training), height, width, align_corners=True)

    def _check(self) -> None:
        if self.readout not in READOUTS:
            raise UserError(f"readout is {self.readout!r}; expected one of {', '.join(READOUTS)}")
        if self.encoder.model.patch_size not in (4, 8, 16, 32):
            raise UserError(
                f"patch_size is {self.encoder.model.patch_size}; DPT takes 4, 8, 16 or 32"
            )
        blocks, channels = self.encoder.model.feature_blocks, self.intermediate_channels
        if len(blocks) != len(channels):
            raise UserError(
                f"output_indices are {len(blocks)} and intermediate_channels {len(channels)}; "
                "DPT takes as many of one as of the other"
            )
        depth = self.encoder.model.depth
        if list(blocks) != sorted(set(blocks)) or not 0 <= blocks[0] <= blocks[-1] < depth:
            raise UserError(
                f"the features of DPT are outputs of blocks {', '.join(map(str, blocks))} of "
                f"{depth}, from 0; set output_indices to blocks that exist, in their order"
            )


class Head(nn.Module):
    """A 3x3 convolution, dropout and the last layer."""

    num_outputs: int
    dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to logits [B, H, W, num_outputs] float32."""
        types = {"param_dtype": self.param_dtype}
        x = convolution(x, x.shape[-1], 3, name="head_0", **types)
        x = nn.relu(BatchNorm(name="head_1", **types)(x, training))
        x = Dropout(self.dropout_rate, name="head_3")(x, training)
        return last_layer(x, self.num_outputs, 1, name="head_4", **types)
