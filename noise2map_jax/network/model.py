"""Noise2Map: per-task projections around one diffusion backbone."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.network.layers import Conv
from noise2map_jax.network.resampling import resize_align_corners
from noise2map_jax.network.unet import UNet, UNetConfig


@dataclasses.dataclass(frozen=True)
class Head:
    """The sizes of one task's projections."""

    task: str
    num_inputs: int  # channels of x: bands times dates
    num_outputs: int  # number of classes, or channels of the predicted noise
    projected: bool = True  # False: no projections before and after the backbone


class Noise2Map(nn.Module):
    """The network: x_t, t -> logits (or predicted noise), in one pass.

    Attributes:
        unet: config of the backbone.
        heads: the tasks, each with its own projections.
        sample_size: the backbone's tile side in pixels. Inputs of another size are resampled to
            this size and back, each time followed by a 3x3 convolution. 0 = never resample.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters.
        remat: what the backward pass computes again, a key of `rematerialization.POLICIES`.
        matmul_precision: precision of convolutions and matrix products, forward and backward, one
            of `matmul_precision.PRECISIONS`. It overrides JAX's own default.
    """

    unet: UNetConfig
    heads: tuple[Head, ...]
    sample_size: int = 0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    remat: str = "none"
    matmul_precision: str = "default"

    @nn.compact
    def __call__(
        self, x: jax.Array, timesteps: jax.Array, *, task: str, use_timestep: Any = True
    ) -> jax.Array:
        """Predict the map of a noised input.

        Args:
            x: [B, H, W, C] float, the noised input, C = `num_inputs` of the task's head.
            timesteps: [B] int.
            task: task of the head to use.
            use_timestep: [] bool, may be traced; if False, the network sees t = 0.

        Returns:
            [B, H, W, num_outputs] float32.

        Raises:
            UserError: there is no such head, or x has another number of channels.
        """
        head = self.head(task)
        if x.shape[-1] != head.num_inputs:
            raise UserError(
                f"the input of task {task!r} has {x.shape[-1]} channels; expected {head.num_inputs}"
            )
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        _, height, width, _ = x.shape
        resample = self.sample_size not in (0, height) or self.sample_size not in (0, width)

        def conv(features: int, name: str, **kw: Any) -> nn.Conv:
            return Conv(features, (3, 3), padding=1, name=f"{task}_{name}", **(types | kw))

        # Operations traced inside this context keep the precision, and so do their gradients.
        with jax.default_matmul_precision(self.matmul_precision):
            unet = UNet(self.unet, remat=self.remat, name="unet", **types)
            timesteps = jnp.where(use_timestep, timesteps, 0)
            if not head.projected:
                return unet(x, timesteps)
            h = conv(self.unet.in_channels, "input_conv")(x)
            if resample:
                h = resize_align_corners(h, self.sample_size, self.sample_size)
                h = conv(self.unet.in_channels, "input_upscaling")(h)
            h = unet(h, timesteps)
            if resample:
                h = resize_align_corners(h, height, width)
                h = conv(self.unet.out_channels, "output_downscaling")(h)
            # Logits in float32: bfloat16 has too few digits for the loss near a decision boundary.
            return conv(head.num_outputs, "output_conv", dtype=jnp.float32)(h.astype(jnp.float32))

    def head(self, task: str) -> Head:
        """Look up a head by its task, or raise a `UserError` that lists the tasks."""
        for head in self.heads:
            if head.task == task:
                return head
        names = ", ".join(head.task for head in self.heads)
        raise UserError(f"the model has no head for task {task!r}; it has {names}")


def compute_types(params: Any, dtype: Any) -> Any:
    """Return the type that the network uses each parameter in.

    Args:
        params: tree of parameters, or of their shapes.
        dtype: compute type of the network; its last convolutions are always float32.

    Returns:
        A tree of types of the same structure.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jnp.float32 if path[0].key.endswith("_output_conv") else dtype, params
    )


def init_params(model: Noise2Map, key: jax.Array, tile_size: int | Mapping[str, int]) -> Any:
    """Draw the parameters of the backbone and of all heads.

    Args:
        model: the network.
        key: a PRNG key; the backbone's values do not depend on the heads.
        tile_size: side of tiles in pixels, for all tasks or by task; it decides whether there are
            resampling convolutions.

    Returns:
        The tree of parameters, of type `model.param_dtype`.
    """
    params: dict[str, Any] = {}
    for head in model.heads:
        size = tile_size if isinstance(tile_size, int) else tile_size[head.task]
        x = jnp.zeros((1, size, size, head.num_inputs))
        variables = model.init(key, x, jnp.zeros(1, jnp.int32), task=head.task)
        params = dict(variables["params"]) | params
    return params
