"""What the decoders of ChangeFormer and ELGC-Net have in common: fusion of scales, and the tail.

The functions are called within a compact method; their layers belong to that module, under the
authors' names.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.layers import convolution, last_layer
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.transposed_convolution import ConvTranspose


def fuse_scales(
    maps: Sequence[jax.Array], features: int, training: Training | None, *, param_dtype: Any
) -> jax.Array:
    """Bring maps to the finest resolution, concatenate them deep to fine, and mix the channels.

    Args:
        maps: [B, h, w, C] each, fine to deep.
        features: channels of the result.
        training: for the batch normalisation.
        param_dtype: type of the parameters.

    Returns:
        [B, h, w, features] of the finest resolution.
    """
    height, width = maps[0].shape[1:3]
    resized = [resize(x, height, width, align_corners=False) for x in reversed(maps)]
    h = jnp.concatenate(resized, axis=-1)
    types = {"param_dtype": param_dtype}
    h = convolution(h, features, 1, use_bias=True, name="linear_fuse_0", **types)
    return BatchNorm(name="linear_fuse_1", **types)(h, training)


def enlarge_to_image(x: jax.Array, num_classes: int, *, param_dtype: Any) -> jax.Array:
    """Double the size twice with transposed convolutions, and classify the pixels.

    Args:
        x: [B, h, w, C].
        num_classes: number of outputs.
        param_dtype: type of the parameters.

    Returns:
        Logits [B, 4h, 4w, num_classes] float32.
    """
    types = {"param_dtype": param_dtype}
    for name in ("2x", "1x"):
        x = Doubling(name=f"convd{name}", **types)(x)
        x = Refinement(name=f"dense_{name}_0", **types)(x)
    return Classifier(num_classes, name="change_probability", **types)(x)


class Doubling(nn.Module):
    """A transposed convolution of stride 2."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, 2H, 2W, C]."""
        options: Any = {"stride": 2, "padding": 1, "param_dtype": self.param_dtype}
        return ConvTranspose(x.shape[-1], 4, name="conv2d", **options)(x)


class Refinement(nn.Module):
    """Two convolutions whose result, weakened, is added to their input."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        h = nn.relu(Convolution(self.param_dtype, name="conv1")(x))
        return x + 0.1 * Convolution(self.param_dtype, name="conv2")(h)


class Convolution(nn.Module):
    """A 3x3 convolution in a module of its own, as the authors name it."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        return convolution(x, x.shape[-1], 3, use_bias=True, name="conv2d", **types)


class Classifier(nn.Module):
    """The last convolution, in a module of its own, as the authors name it."""

    num_classes: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to logits [B, H, W, num_classes] float32."""
        types = {"param_dtype": self.param_dtype}
        return last_layer(x, self.num_classes, 3, name="conv2d", **types)
