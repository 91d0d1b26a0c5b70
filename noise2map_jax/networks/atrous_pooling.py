"""Atrous spatial pyramid pooling (Chen et al. 2017)."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.layers import (
    Dropout,
    conv_norm_relu,
    convolution,
    separable_convolution,
)
from noise2map_jax.networks.resizing import cell_average
from noise2map_jax.networks.training import Training


class AtrousPooling(nn.Module):
    """A 1x1 and dilated 3x3 convolutions beside the mean of the image, mixed by a 1x1.

    The mean of each image is batch-normalised, so training needs more than one image in a batch.

    Attributes:
        features: channels of the result.
        rates: dilations of the 3x3 convolutions.
        separable: whether those convolve each channel alone, and then mix channels.
        dropout_rate: dropout at the end.
        param_dtype: type of the parameters.
    """

    features: int
    rates: Sequence[int]
    separable: bool
    dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        parts = [conv_norm_relu(x, self.features, 1, training, name="convs_0", **types)]
        for number, rate in enumerate(self.rates, start=1):
            name = f"convs_{number}"
            if self.separable:
                h = separable_convolution(
                    x, self.features, name=f"{name}_0", dilation=rate, **types
                )
                h = nn.relu(BatchNorm(name=f"{name}_1", **types)(h, training))
            else:
                h = conv_norm_relu(x, self.features, 3, training, name=name, dilation=rate, **types)
            parts.append(h)
        parts.append(self._image_mean(x, training, f"convs_{len(parts)}"))
        x = jnp.concatenate(parts, axis=-1)
        x = conv_norm_relu(x, self.features, 1, training, name="project", **types)
        return Dropout(self.dropout_rate, name="dropout")(x, training)

    def _image_mean(self, x: jax.Array, training: Training | None, name: str) -> jax.Array:
        types = {"param_dtype": self.param_dtype}
        mean = convolution(cell_average(x, 1), self.features, 1, name=f"{name}_1", **types)
        mean = nn.relu(BatchNorm(name=f"{name}_2", **types)(mean, training))
        return jnp.broadcast_to(mean, (*x.shape[:3], self.features))
