"""The static part of a step: from the records of one task to the network's outputs."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from noise2map_jax.method.augment import Augmentation
from noise2map_jax.method.noise import NoiseProcess, add_noise
from noise2map_jax.method.scaling import ValueRange, scale_images
from noise2map_jax.method.tasks import Noised, Task
from noise2map_jax.network.interface import Network
from noise2map_jax.network.statistics import STATISTICS, variables
from noise2map_jax.networks.training import Training

Batch = dict[str, jax.Array]
NOTHING_VARIED = Augmentation(flips_and_turns=False)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One task of the network, with its scaling, augmentation and loss weights.

    Attributes:
        model: the network.
        task: inputs, targets and loss.
        value_range: (low, high) in sensor units, scaled to [-1, 1]; numbers, or one a band.
        class_weights: K weights of the classes in the loss.
        augmentation: random changes to records in training.
        weight: weight of this task's loss in the sum over tasks.
        frozen_statistics: whether training leaves batch normalisation's statistics as they are.
        temperature: of predicted probabilities, see `at_temperature`; 1 leaves them as they are.
    """

    model: Network
    task: Task
    value_range: ValueRange
    class_weights: tuple[float, ...]
    augmentation: Augmentation = NOTHING_VARIED
    weight: float = 1.0
    frozen_statistics: bool = False
    temperature: float = 1.0

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return len(self.class_weights)

    def scaled(self, batch: Batch) -> Batch:
        """Scale the images of a batch to [-1, 1]."""
        images = {key: scale_images(batch[key], self.value_range) for key in self.task.image_keys}
        return batch | images

    def noised(
        self, process: NoiseProcess, x: jax.Array, eps: jax.Array, timesteps: jax.Array
    ) -> Noised:
        """Mix inputs x with their noise at timesteps [B]."""
        return Noised(
            x_t=add_noise(process, x, self.task.swap(x), eps, timesteps),
            x=x,
            eps=eps,
            signal=process.signal[timesteps][:, None, None, None],
            noise=process.noise[timesteps][:, None, None, None],
        )

    def apply(
        self, process: NoiseProcess, params: Any, x_t: jax.Array, timesteps: jax.Array
    ) -> jax.Array:
        """Apply the network to noised inputs; returns [B, H, W, outputs] float32."""
        outputs = self.model.apply(
            variables(params),
            x_t,
            timesteps,
            task=self.task.name,
            use_timestep=process.use_timestep,
        )
        assert isinstance(outputs, jax.Array)  # no variables are returned: nothing is mutable
        return outputs

    def apply_in_training(
        self,
        process: NoiseProcess,
        params: Any,
        x_t: jax.Array,
        timesteps: jax.Array,
        training: Training,
    ) -> tuple[jax.Array, Any]:
        """Apply the network as in training; returns its outputs, and its new running statistics.

        The statistics are None for a network without any.
        """
        outputs, changed = self.model.apply(
            variables(params),
            x_t,
            timesteps,
            task=self.task.name,
            use_timestep=process.use_timestep,
            training=training,
            mutable=[STATISTICS],
        )
        return outputs, changed.get(STATISTICS)


def gaussian_noise(process: NoiseProcess, key: jax.Array, x: jax.Array) -> jax.Array:
    """Draw Gaussian noise with the shape and type of x; zeros if the process has none."""
    return jax.lax.cond(
        process.mix.gaussian != 0,
        lambda: jax.random.normal(key, x.shape, x.dtype),
        lambda: jnp.zeros_like(x),
    )
