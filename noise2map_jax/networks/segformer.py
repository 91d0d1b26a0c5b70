"""SegFormer (Xie et al. 2021)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.layers import Dropout, conv_norm_relu, last_layer, linear
from noise2map_jax.networks.mit import MiT
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training


class SegFormer(nn.Module):
    """SegFormer with the layers and names of segmentation_models.pytorch 0.6.

    Other code differs in a few numbers. In transformers all LayerNorms have epsilon 1e-5
    (`MiT(epsilon=1e-5)`), `dropout_rate` is 0.1, and logits are resampled with
    `align_corners=False`, if at all; `transformers_names` translates its tensors. Its
    `decoder_channels` are 256 over B0 and B1 and 768 over larger encoders.

    Attributes:
        num_classes: number of outputs.
        encoder: `MiT`, or another encoder, whose features after the input are all used.
        decoder_channels: channels of the decoder.
        dropout_rate: dropout before the last layer.
        align_corners: how logits are resampled from stride 4; see `resizing.resize`.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    encoder: Any = MiT()
    decoder_channels: int = 256
    dropout_rate: float = 0.0
    align_corners: bool = True
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
        _, height, width, _ = x.shape
        types = {"param_dtype": self.param_dtype}
        _, *features = self.encoder(x.astype(self.dtype), training)
        decoder = SegFormerDecoder(self.decoder_channels, name="decoder", **types)
        h = decoder(features, height // 4, width // 4, training)
        h = Dropout(self.dropout_rate, name="dropout")(h, training)
        logits = last_layer(h, self.num_classes, 1, name="segmentation_head_0", **types)
        return resize(logits, height, width, align_corners=self.align_corners)


class SegFormerDecoder(nn.Module):
    """A linear layer for each feature; all are joined at one size by a 1x1 convolution."""

    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: Sequence[jax.Array], height: int, width: int, training: Training | None
    ) -> jax.Array:
        """Join inputs [B, Hi, Wi, Ci], fine to deep, as [B, height, width, features]."""
        types = {"param_dtype": self.param_dtype}
        deep_to_fine = [x for x in reversed(inputs) if x.shape[-1]]
        parts = []
        for number, x in enumerate(deep_to_fine):
            x = LinearStage(self.features, name=f"mlp_stage_{number}", **types)(x)
            parts.append(resize(x, height, width, align_corners=False))
        x = jnp.concatenate(parts, axis=-1)
        return conv_norm_relu(x, self.features, 1, training, name="fuse_stage", **types)


class LinearStage(nn.Module):
    """A linear layer, in a module of its own for the sake of its name."""

    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        return linear(x, self.features, name="linear", param_dtype=self.param_dtype)
