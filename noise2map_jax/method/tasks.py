"""Tasks: frozen records of names, sizes and pure functions that define inputs, targets and loss."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.method.denoising import get_target
from noise2map_jax.method.losses import IGNORE, WeightedSum, squared_errors, weighted_cross_entropy

Batch = Mapping[str, jax.Array]


class Noised(NamedTuple):
    """An input with its noise, mixed at timesteps t."""

    x_t: jax.Array  # [B, H, W, C], the network's input
    x: jax.Array  # [B, H, W, C], clean
    eps: jax.Array  # [B, H, W, C], standard normal
    signal: jax.Array  # [B, 1, 1, 1], signal[t]
    noise: jax.Array  # [B, 1, 1, 1], noise[t]


class DenoisingTargets(NamedTuple):
    """The targets of a denoiser, and the pixels that count."""

    values: jax.Array  # [B, H, W, C]
    valid: jax.Array  # [B, H, W] bool; False in padding and no-data


@dataclasses.dataclass(frozen=True)
class Task:
    """A task: its input arrays, noise, targets and loss.

    Attributes:
        name: `ss`, `cd` or `denoise`.
        title: the field's term for the task.
        description: input and output in a few words.
        image_keys: arrays of a record that are concatenated to x, in this order.
        swap: x [B, H, W, C] -> the input with its dates exchanged [B, H, W, C].
        targets: (batch, noised) -> targets of the outputs: labels [B, H, W], or
            `DenoisingTargets`.
        loss: (outputs, targets, class_weights [K]) -> loss as numerator and denominator.
        has_classes: whether the task predicts classes, which are scored as maps.
        default_mix: the noise source of the paper, by its name in `NoiseMix`.
    """

    name: str
    title: str
    description: str
    image_keys: tuple[str, ...]
    swap: Callable[[jax.Array], jax.Array]
    targets: Callable[[Batch, Noised], Any]
    loss: Callable[[jax.Array, Any, jax.Array], WeightedSum]
    has_classes: bool
    default_mix: str

    @property
    def record_keys(self) -> tuple[str, ...]:
        """The arrays of a record that a step needs: the images, and `mask` (255 = ignore)."""
        return (*self.image_keys, "mask")

    @property
    def stream(self) -> int:
        """Number that gives the task its own streams of random numbers."""
        return zlib.crc32(self.name.encode())

    def inputs(self, batch: Batch) -> jax.Array:
        """Concatenate the images of a batch along channels: [B, H, W, C * number of dates]."""
        return jnp.concatenate([batch[key] for key in self.image_keys], axis=-1)

    def num_outputs(self, num_bands: int, num_classes: int) -> int:
        """Return the number of output channels: a logit a class, or a value for every band."""
        return num_classes if self.has_classes else num_bands * len(self.image_keys)


def exchange_halves(x: jax.Array) -> jax.Array:
    """Turn [pre, post] into [post, pre] along the channels, [B, H, W, 2 C]."""
    pre, post = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([post, pre], axis=-1)


def _unchanged(x: jax.Array) -> jax.Array:
    return x


def _mask(batch: Batch, noised: Noised) -> jax.Array:
    return batch["mask"][..., 0]


def _denoising_targets(prediction_type: str) -> Callable[[Batch, Noised], DenoisingTargets]:
    formula = get_target(prediction_type)

    def targets(batch: Batch, noised: Noised) -> DenoisingTargets:
        values = formula(noised.x, noised.eps, noised.signal, noised.noise)
        return DenoisingTargets(values, batch["mask"][..., 0] != IGNORE)

    return targets


def _denoising_loss(
    outputs: jax.Array, targets: DenoisingTargets, class_weights: jax.Array
) -> WeightedSum:
    return jax.tree.map(jnp.sum, squared_errors(outputs, *targets))


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="ss",
            title="semantic segmentation",
            description="image -> map of classes",
            image_keys=("image",),
            swap=_unchanged,
            targets=_mask,
            loss=weighted_cross_entropy,
            has_classes=True,
            default_mix="image",
        ),
        Task(
            name="cd",
            title="change detection",
            description="pair of images -> map of changes",
            image_keys=("pre", "post"),
            swap=exchange_halves,
            targets=_mask,
            loss=weighted_cross_entropy,
            has_classes=True,
            default_mix="swap",
        ),
        Task(
            name="denoise",
            title="denoising",
            description="noised image -> noise, which pretrains the backbone",
            image_keys=("image",),
            swap=_unchanged,
            targets=_denoising_targets("epsilon"),
            loss=_denoising_loss,
            has_classes=False,
            default_mix="gaussian",
        ),
    )
}


def get_task(name: str, prediction_type: str = "epsilon") -> Task:
    """Look up a task.

    Args:
        name: name of the task.
        prediction_type: prediction type of a denoising task, a key of `denoising.TARGETS`.

    Raises:
        UserError: the name is unknown; the message lists the known ones.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}; expected one of {', '.join(TASKS)}")
    task, targets = TASKS[name], _denoising_targets(prediction_type)
    if task.has_classes:
        return task
    return dataclasses.replace(task, targets=targets)
