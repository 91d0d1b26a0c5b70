"""DDPM-CD (Bandara et al. 2022) over this project's own denoiser.

The denoiser is Noise2Map's backbone, pretrained by denoising and frozen. The published one has
2,000 timesteps, of which features are taken at 50, 100 and 400; with 1,000, as here, these are 25,
50 and 200.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.network.layers import Attention, ResnetBlock
from noise2map_jax.network.unet import UNet, UNetConfig
from noise2map_jax.networks.dates import split_dates
from noise2map_jax.networks.ddpmcd_head import DDPMCDHead
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training


class DDPMCD(nn.Module):
    """Pairs [pre, post] -> logits of the change, from features of a frozen denoiser.

    Each date is noised at each timestep and passes through the denoiser: six passes for three
    timesteps. In training, the noise of a row follows from its keys; in prediction it is always the
    same, so a map does not change from call to call. No gradient reaches the denoiser.

    Attributes:
        num_classes: number of outputs.
        unet: config of the denoiser.
        timesteps: timesteps at which features are taken.
        alphas_cumprod: of these timesteps.
        classifier_width: see `DDPMCDHead`.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters.
    """

    num_classes: int
    unet: UNetConfig
    timesteps: Sequence[int] = (25, 50, 200)
    alphas_cumprod: Sequence[float] = ()
    classifier_width: int = 64
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        return 2 ** (len(self.unet.block_out_channels) - 1)

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map pairs [B, H, W, C], the earlier date first, to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, or C is odd.
        """
        check_tile_size(self, x)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        denoiser = UNet(self.unet, name="unet", **types)
        images = jnp.concatenate(split_dates(x))
        by_timestep = []
        for number, (t, alpha) in enumerate(zip(self.timesteps, self.alphas_cumprod, strict=True)):
            eps = _noise(images.shape, number, training)
            x_t = alpha**0.5 * images + (1 - alpha) ** 0.5 * eps
            by_timestep.append(_features(denoiser, x_t, jnp.full(x_t.shape[0], t)))
        by_scale = jax.lax.stop_gradient(list(zip(*by_timestep, strict=True)))
        pre, post = (
            [[jnp.split(x, 2)[date] for x in scale] for scale in by_scale] for date in (0, 1)
        )
        head = DDPMCDHead(self.num_classes, self.classifier_width, name="head", **types)
        return head(pre, post, training)


def _features(denoiser: UNet, x_t: jax.Array, timesteps: jax.Array) -> list[jax.Array]:
    """Return the last output of each resolution of the decoder, deep to fine."""
    found: dict[str, jax.Array] = {}

    def keep(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        output = call(*args, **kwargs)
        block = next((part for part in context.module.path if part.startswith("up_blocks")), "")
        if block and isinstance(context.module, ResnetBlock | Attention):
            found[block] = output  # a later layer of the block takes the place of an earlier one
        return output

    with nn.intercept_methods(keep):
        denoiser(x_t, timesteps)
    return list(found.values())


def _noise(shape: tuple[int, ...], number: int, training: Training | None) -> jax.Array:
    """Draw noise for both dates of a batch, [2B, H, W, C]."""
    if training is None:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number), 2)
        drawn = jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(keys)
        return jnp.repeat(drawn, shape[0] // 2, axis=0)
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    keys = fold(training.repeated(2).row_keys, number)
    return jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(keys)
