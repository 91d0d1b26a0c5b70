"""The head of DDPM-CD (Bandara et al. 2022): change from features of a frozen denoiser.

Facts were read in the authors' code (wgcban/ddpm-cd, cd_head_v2, MIT).
"""

import itertools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import convolution, last_layer
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.training import Training

# Of one date: by scale, deep to fine, and by timestep of the denoiser, [B, h, w, C] each.
DateFeatures = Sequence[Sequence[jax.Array]]


class Block(nn.Module):
    """Mixes the features of one date and scale over all timesteps."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, timesteps: Sequence[jax.Array]) -> jax.Array:
        """Map features [B, h, w, C] of each timestep to [B, h, w, C]."""
        types = {"param_dtype": self.param_dtype, "use_bias": True}
        channels = timesteps[0].shape[-1]
        h = jnp.concatenate(timesteps, axis=-1)
        if len(timesteps) > 1:
            h = nn.relu(convolution(h, channels, 1, name="block_0", **types))
        return nn.relu(convolution(h, channels, 3, name="block_2", **types))


class AttentionBlock(nn.Module):
    """A convolution whose channels and pixels are weighted (concurrent squeeze and excitation)."""

    features: int
    reduction: int = 2
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        h = nn.relu(convolution(x, self.features, 3, use_bias=True, name="block_0", **types))
        return Excitation(self.reduction, name="block_2", **types)(h)


class Excitation(nn.Module):
    """The sum of x weighted by channel and x weighted by pixel."""

    reduction: int = 2
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        by_channel = ChannelWeights(self.reduction, name="cSE", **types)(x)
        return x * by_channel + x * PixelWeights(name="sSE", **types)(x)


class ChannelWeights(nn.Module):
    """Weights of channels from their means over the image."""

    reduction: int = 2
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, 1, 1, C] between 0 and 1."""
        channels = x.shape[-1]
        types = {"param_dtype": self.param_dtype, "dtype": x.dtype}
        h = jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype)
        h = nn.relu(nn.Dense(channels // self.reduction, name="fc1", **types)(h))
        return nn.sigmoid(nn.Dense(channels, name="fc2", **types)(h))


class PixelWeights(nn.Module):
    """Weights of pixels from all of their channels."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, 1] between 0 and 1."""
        types = {"param_dtype": self.param_dtype}
        return nn.sigmoid(convolution(x, 1, 1, use_bias=True, name="conv", **types))


class DDPMCDHead(nn.Module):
    """DDPM-CD's head: features of both dates from a denoiser -> logits of the change.

    At each scale, from deep to fine, the absolute difference of the dates is added to what came
    from the scale before. What is classified is the result of the last attention block, as in
    the authors' code: the layers of the finest scale exist there, but their result is dropped. So
    they have parameters here, which no gradient reaches, and the features of the finest scale
    decide nothing but the size of the logits.

    The number of scales, their channels and the number of timesteps are those of the features.
    The published head has five scales of 1024, 1024, 512, 256, 128 channels and three timesteps.
    Initial values are as in `layers`; linear layers have Flax's own.

    Attributes:
        num_classes: number of outputs.
        classifier_width: channels between the two last convolutions.
        reduction: how many times fewer channels the weights of channels are computed with.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters.
    """

    num_classes: int
    classifier_width: int = 64
    reduction: int = 2
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, pre: DateFeatures, post: DateFeatures, training: Training | None = None
    ) -> jax.Array:
        """Predict the change between two dates.

        Args:
            pre: features of the earlier date: `pre[scale][timestep]` is [B, h, w, C]. Scales go
                from deep to fine, each of twice the size of the one before.
            post: features of the later date, of the same shapes.
            training: not used: the head has neither batch normalisation nor
                dropout.

        Returns:
            Logits [B, H, W, num_classes] float32, of the finest scale's size.

        Raises:
            UserError: the dates have features of other shapes, there is one scale only, or a scale
                has not twice the size of the one before.
        """
        _check(pre, post)
        types = {"param_dtype": self.param_dtype}
        h: Any = 0
        for scale, dates in enumerate(zip(pre, post, strict=True)):
            if scale:
                _, height, width, channels = dates[0][0].shape
                name = f"decoder_{2 * scale - 1}"
                h = AttentionBlock(channels, self.reduction, name=name, **types)(h)
                h = resize(h, height, width, align_corners=False)
            mix = Block(name=f"decoder_{2 * scale}", **types)
            of_pre, of_post = (mix([x.astype(self.dtype) for x in date]) for date in dates)
            if scale < len(pre) - 1:
                h = h + jnp.abs(of_pre - of_post)
        h = convolution(h, self.classifier_width, 3, use_bias=True, name="clfr_stg1", **types)
        return last_layer(nn.relu(h), self.num_classes, 3, name="clfr_stg2", **types)


def _check(pre: DateFeatures, post: DateFeatures) -> None:
    shapes = [[[x.shape for x in scale] for scale in date] for date in (pre, post)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"DDPM-CD's head got features {shapes[0]} of the first date and {shapes[1]} of the "
            "second; expected equal shapes"
        )
    if len(pre) < 2:
        raise UserError(f"DDPM-CD's head got features of {len(pre)} scale; expected 2 or more")
    sizes = [tuple(scale[0].shape[1:3]) for scale in pre]
    for (height, width), finer in itertools.pairwise(sizes):
        if finer != (2 * height, 2 * width):
            raise UserError(
                f"DDPM-CD's head got a scale of {finer[0]} x {finer[1]} after one of {height} x "
                f"{width}; expected {2 * height} x {2 * width}: deep to fine, each twice the last"
            )
