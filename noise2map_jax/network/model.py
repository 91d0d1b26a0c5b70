"""Noise2Map: per-task projections around one diffusion backbone."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import Head, Network, check_inputs
from noise2map_jax.network.layers import Conv
from noise2map_jax.network.patches import from_patches, to_patches
from noise2map_jax.network.resampling import resize_align_corners
from noise2map_jax.network.unet import UNet, UNetConfig


class Noise2Map(nn.Module):
    """The network: x_t, t -> logits (or predicted noise), in one pass.

    Attributes:
        unet: config of the backbone.
        heads: the tasks, each with its own projections.
        sample_size: the backbone's tile side in pixels. Inputs of another size are resampled to
            this size and back, each time followed by a 3x3 convolution. 0 = never resample.
        patch_size: side in pixels of the patches that the backbone sees as one pixel, see
            `patches`; 1 = it sees pixels.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters.
        remat: what the backward pass computes again, a key of `rematerialization.POLICIES`.
        matmul_precision: precision of convolutions and matrix products, forward and backward, one
            of `matmul_precision.PRECISIONS`. It overrides JAX's own default.
    """

    unet: UNetConfig
    heads: tuple[Head, ...]
    sample_size: int = 0
    patch_size: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: str = "none"
    matmul_precision: str = "default"

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        timesteps: jax.Array,
        *,
        task: str,
        use_timestep: Any = True,
        training: Any = None,
    ) -> jax.Array:
        """Predict the map of a noised input.

        Args:
            x: [B, H, W, C] float, the noised input, C = `num_inputs` of the task's head.
            timesteps: [B] int.
            task: task of the head to use.
            use_timestep: [] bool, may be traced; if False, the network sees t = 0.
            training: not used: the network is the same in training and in prediction.

        Returns:
            [B, H, W, num_outputs] float32.

        Raises:
            UserError: there is no such head, x has another number of channels, or its sides are no
                multiples of `patch_size`.
        """
        head = check_inputs(self, x, task)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        _, height, width, _ = x.shape
        resample = self.sample_size not in (0, height) or self.sample_size not in (0, width)
        if self.patch_size > 1 and (height % self.stride or width % self.stride):
            raise UserError(
                f"tiles of {height} x {width} pixels: with model.patch_size={self.patch_size} and "
                f"{len(self.unet.block_out_channels)} levels their sides must be multiples of "
                f"{self.stride}"
            )
        if resample and self.patch_size > 1:
            raise UserError(
                f"model.sample_size is {self.sample_size} and model.patch_size {self.patch_size}, "
                f"for tiles of {height} x {width}: both lower the resolution; set "
                "model.sample_size=0"
            )

        def conv(features: int, name: str, **kw: Any) -> nn.Conv:
            return Conv(features, (3, 3), padding=1, name=f"{task}_{name}", **(types | kw))

        # Operations traced inside this context keep the precision, and so do their gradients.
        with jax.default_matmul_precision(self.matmul_precision):
            unet = UNet(self.unet, remat=self.remat, name="unet", **types)
            timesteps = jnp.where(use_timestep, timesteps, 0)
            if not head.projected:
                return unet(x, timesteps)
            h = conv(self.unet.in_channels, "input_conv")(to_patches(x, self.patch_size))
            if resample:
                h = resize_align_corners(h, self.sample_size, self.sample_size)
                h = conv(self.unet.in_channels, "input_upscaling")(h)
            h = unet(h, timesteps)
            if resample:
                h = resize_align_corners(h, height, width)
                h = conv(self.unet.out_channels, "output_downscaling")(h)
            # Logits in float32: bfloat16 has too few digits for the loss near a decision boundary.
            num_outputs = head.num_outputs * self.patch_size**2
            h = conv(num_outputs, "output_conv", dtype=jnp.float32)(h.astype(jnp.float32))
            return from_patches(h, self.patch_size)

    @property
    def stride(self) -> int:
        """Sides of tiles, or of `sample_size`, are multiples of this: each level halves them."""
        return self.patch_size * 2 ** (len(self.unet.block_out_channels) - 1)


def resampling_to(model: Network, sample_size: int) -> Network:
    """Return a network that resamples tiles to another size; 0 = it does not, as rivals."""
    return model.clone(sample_size=sample_size) if isinstance(model, Noise2Map) else model


def as_noise2map(model: Network, purpose: str) -> Noise2Map:
    """Return a network that is known to be Noise2Map.

    Args:
        model: the network.
        purpose: what needs it, for the message.

    Raises:
        UserError: it is another one.
    """
    if not isinstance(model, Noise2Map):
        raise UserError(f"{purpose} is for Noise2Map; this network is another: see model.name")
    return model
