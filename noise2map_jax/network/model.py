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
    num_outputs: int  # classes, or channels of the predicted noise
    projected: bool = True  # False: the input goes to the backbone and comes from it as it is


class Noise2Map(nn.Module):
    """The network: x_t, t -> logits (or predicted noise), in one pass.

    Attributes:
        unet: shape of the backbone.
        heads: the tasks it serves, each with projections of its own.
        sample_size: the backbone's tile side in pixels; inputs of another size are resampled to
            it and back, each time followed by a 3x3 convolution. 0 = never resample.
        dtype: compute type; logits are float32 whatever it is.
        param_dtype: type of the parameters.
        remat: what the backward pass computes again, a key of `rematerialization.POLICIES`.
        matmul_precision: of convolutions and matrix products, forward and backward, one of
            `matmul_precision.PRECISIONS`. JAX's own default, which can be set from outside, does
            not matter: what a run's config says holds.
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
            task: which head to use.
            use_timestep: [] bool, may be traced; False hides t from the network (it sees t = 0).

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

        # Around all of the network: what is traced in here keeps it, and so do its gradients.
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
        """Look a head up by its task, or raise a `UserError` that lists the tasks."""
        for head in self.heads:
            if head.task == task:
                return head
        names = ", ".join(head.task for head in self.heads)
        raise UserError(f"the model has no head for task {task!r}; it has {names}")


def compute_types(params: Any, dtype: Any) -> Any:
    """Say in which type the network computes with each parameter.

    Args:
        params: tree of parameters, or of their shapes.
        dtype: the network's; its last convolutions are float32 whatever it is.

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
        key: a PRNG key; the backbone gets the same values whichever heads there are.
        tile_size: side of the tiles in pixels, of all tasks or by task: decides whether resampling
            convolutions exist.

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
