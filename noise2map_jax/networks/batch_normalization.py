"""Batch normalisation with PyTorch's statistics, over all rows of the batch wherever they are."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.training import Training


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe, Szegedy 2015) as in PyTorch's `BatchNorm2d`.

    In training a batch is normalised with its mean and its biased variance; running statistics move
    to its mean and its *unbiased* variance, `running = 0.9 running + 0.1 batch`. Statistics are
    float32, in two passes, and those of all devices that hold rows of the batch
    (`Training.axes`). If rows are several batches (`Training.num_batches`), each is normalised by
    itself, and the running statistics are updated by one after another. In prediction and with
    `Training.frozen_statistics` the running statistics normalise.

    Parameters are `scale` (1) and `bias` (0), variables of the collection `batch_stats` are `mean`
    (0) and `var` (1). The result has the type of the input.
    """

    epsilon: float = 1e-5
    momentum: float = 0.1  # share of the new batch
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Normalise [B, H, W, C] for each channel.

        Raises:
            UserError: the batch has one value for each channel, so it has no variance.
        """
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32)

        batches = 1 if training is None else training.num_batches
        values = x.astype(jnp.float32).reshape(batches, -1, *x.shape[1:])
        if training is None or training.frozen_statistics:
            mean, var = _row(running_mean.value), _row(running_var.value)
        else:
            mean = _mean(values, training.axes)
            var = _mean(jnp.square(values - mean), training.axes)
            number = math.prod(values.shape[1:4]) * _devices(training.axes)
            if number == 1:
                raise UserError(
                    f"batch norm {'/'.join(self.path)}: the batch has 1 value for each channel; "
                    "take a larger train.batch_size, or set train.frozen_statistics=True"
                )
            if not self.is_initializing():
                for batch in range(batches):
                    _move(running_mean, mean[batch], self.momentum)
                    _move(running_var, var[batch] * (number / (number - 1)), self.momentum)
        factor = jax.lax.rsqrt(var + self.epsilon) * _row(scale.astype(jnp.float32))
        y = (values - mean) * factor + _row(bias.astype(jnp.float32))
        return y.reshape(x.shape).astype(x.dtype)


def _row(values: jax.Array) -> jax.Array:
    return values.reshape(1, 1, 1, 1, -1)


def _mean(values: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    mean = values.mean((1, 2, 3), keepdims=True)
    return jax.lax.pmean(mean, axes) if axes else mean


def _devices(axes: tuple[str, ...]) -> int:
    return math.prod(jax.lax.axis_size(axis) for axis in axes)


def _move(running: nn.Variable, batch: jax.Array, momentum: float) -> None:
    running.value = (1 - momentum) * running.value + momentum * batch.reshape(-1)
