"""PSPNet (Zhao et al. 2017)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import Dropout, conv_norm_relu, convolution, last_layer
from noise2map_jax.networks.resizing import cell_average, resize
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training


class PSPNet(nn.Module):
    """PSPNet with the layers and names of segmentation_models.pytorch 0.6.

    Attributes:
        num_classes: number of outputs.
        encoder: usually `ResNet(...).cut(3)`: the layers after stride 8 are left out.
        psp_out_channels: channels before the last layer.
        sizes: sides of the grids of cells that the deepest feature is averaged in.
        dropout_rate: dropout of whole channels before the last layer.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters; the encoder has its own.
    """

    num_classes: int
    encoder: Any = ResNet().cut(3)
    psp_out_channels: int = 512
    sizes: Sequence[int] = (1, 2, 3, 6)
    dropout_rate: float = 0.2
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
            UserError: H or W is not a multiple of `stride`, or there are fewer channels than sizes.
        """
        check_tile_size(self, x)
        channels, sizes = self.encoder.feature_widths[-1], len(self.sizes)
        if channels < sizes:
            raise UserError(
                f"PSPNet shares the encoder's last {channels} channels among {sizes} sizes; give "
                "it wider widths or fewer sizes"
            )
        _, height, width, _ = x.shape
        types = {"param_dtype": self.param_dtype}
        *_, deepest = self.encoder(x.astype(self.dtype), training)
        decoder = PSPDecoder(
            self.psp_out_channels, self.sizes, self.dropout_rate, name="decoder", **types
        )
        h = decoder(deepest, training)
        logits = last_layer(h, self.num_classes, 3, name="segmentation_head_0", **types)
        return resize(logits, height, width, align_corners=True)


class PSPDecoder(nn.Module):
    """Pyramid pooling and a 1x1 convolution."""

    features: int
    sizes: Sequence[int]
    dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        x = PyramidPooling(self.sizes, name="psp", **types)(x, training)
        x = conv_norm_relu(x, self.features, 1, training, name="conv", **types)
        return Dropout(self.dropout_rate, (1, 2), name="dropout")(x, training)


class PyramidPooling(nn.Module):
    """Averages in grids of cells, each reduced to an equal share of the channels."""

    sizes: Sequence[int]
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, len(sizes) * (C // len(sizes)) + C]; x is last."""
        features = x.shape[-1] // len(self.sizes)
        parts = [
            PooledPart(size, features, self.param_dtype, name=f"blocks_{number}")(x, training)
            for number, size in enumerate(self.sizes)
        ]
        return jnp.concatenate([*parts, x], axis=-1)


class PooledPart(nn.Module):
    """Averages in one grid of cells, resampled to full size."""

    size: int
    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        average = cell_average(x, self.size)
        if self.size == 1:  # One value an image is not normalised.
            options: Any = {"use_bias": True, **types}
            h = nn.relu(convolution(average, self.features, 1, name="pool_1_0", **options))
        else:
            h = conv_norm_relu(average, self.features, 1, training, name="pool_1", **types)
        return resize(h, *x.shape[1:3], align_corners=True)
