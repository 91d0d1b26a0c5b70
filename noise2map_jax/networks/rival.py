"""A rival in the place of Noise2Map: the same call, whatever the network within."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.network.interface import Head, check_inputs
from noise2map_jax.networks.training import Training

# Mean and standard deviation of ImageNet's bands in [0, 1].
IMAGENET = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)


class Rival(nn.Module):
    """A network with one head, which sees no timestep.

    Its parameters have the names of the network within, without a level of their own.

    Attributes:
        network: a module called `(x, training)`, with an attribute `stride`.
        heads: the task that it predicts.
        imagenet: whether the network within gets images scaled by ImageNet's statistics.
        dtype: compute type; logits are always float32.
        matmul_precision: precision of convolutions and matrix products, forward and backward, one
            of `matmul_precision.PRECISIONS`.
    """

    network: nn.Module
    heads: tuple[Head, ...]
    imagenet: bool = False
    dtype: Any = jnp.float32
    matmul_precision: str = "default"

    def setup(self) -> None:
        """Let the network within hold its parameters here."""
        nn.share_scope(self, self.network)

    def __call__(
        self,
        x: jax.Array,
        timesteps: jax.Array,
        *,
        task: str,
        use_timestep: Any = True,
        training: Training | None = None,
    ) -> jax.Array:
        """Predict the map of an input.

        Args:
            x: [B, H, W, C] float in [-1, 1], the images of a pair one after the other; H and W are
                multiples of `stride`.
            timesteps: not used.
            task: task of the head.
            use_timestep: not used.
            training: None in prediction.

        Returns:
            [B, H, W, num_outputs] float32.

        Raises:
            UserError: the head has another task, or x has other channels or another size.
        """
        check_inputs(self, x, task)
        if self.imagenet:
            mean, deviation = (np.tile(row, (1, 1, 1, x.shape[-1] // 3)) for row in IMAGENET)
            x = ((x + 1) / 2 - mean) / deviation
        with jax.default_matmul_precision(self.matmul_precision):
            return self.network(x.astype(self.dtype), training)

    @property
    def stride(self) -> int:
        """Sides of tiles are multiples of this."""
        return self.network.stride
