"""The steps of evaluation and prediction: pure functions, jitted by the programs."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from noise2map_jax.experiment.problem import Batch, Problem
from noise2map_jax.method.augment import centre_crop
from noise2map_jax.method.losses import IGNORE, squared_errors
from noise2map_jax.method.metrics import confusion_matrices
from noise2map_jax.method.noise import NoiseProcess
from noise2map_jax.method.noise_field import noise_field


class Prediction(NamedTuple):
    """What is predicted of a batch, averaged over inference timesteps and draws of the noise.

    Attributes:
        probabilities: [B, H, W, K] float32, their mean over timesteps and draws.
        uncertainty: [B, H, W] float32, the standard deviation over timesteps and draws of the
            probability of not being class 0; 0 where there is one of each, at most 0.5.
    """

    probabilities: jax.Array
    uncertainty: jax.Array


def eval_step(
    params: Any, batch: Batch, process: NoiseProcess, draws: jax.Array, *, problem: Problem
) -> dict[str, jax.Array]:
    """Score a batch of a task with maps at the process's inference timesteps.

    Args:
        params: the parameters to evaluate.
        batch: as in `train_step`; `valid` [B] bool: False for rows that only fill the batch;
            `scene` [B] uint32, `row` and `column` [B] int32: where a tile lies, see
            `tile_position`, for the noise is that of the place.
        process: how inputs are noised.
        draws: [D] int32, which draws of Gaussian noise are averaged over, see `noise.noise_draws`.
        problem: the static part.

    Returns:
        `confusion` [B, K, K] int32 (row = label, column = prediction), all zeros for rows that
        are not valid; `loss_total` and `loss_weight`, [] float32, whose quotient is the loss.
    """
    log_probs, _ = _predict(params, batch, process, draws, problem)
    labels = jnp.where(batch["valid"][:, None, None], batch["mask"][..., 0], IGNORE)
    loss = problem.task.loss(log_probs, labels, jnp.asarray(problem.class_weights, jnp.float32))
    predictions = jnp.argmax(log_probs, axis=-1)
    return {
        "confusion": confusion_matrices(predictions, labels, problem.num_classes),
        "loss_total": loss.total,
        "loss_weight": loss.weight,
    }


def predict_step(
    params: Any, batch: Batch, process: NoiseProcess, draws: jax.Array, *, problem: Problem
) -> Prediction:
    """Predict class probabilities, and how much they differ; arguments as of `eval_step`."""
    log_probs, foreground = _predict(params, batch, process, draws, problem)
    return Prediction(jnp.exp(log_probs), jnp.std(foreground, axis=1))


def denoising_eval_step(
    params: Any,
    batch: Batch,
    process: NoiseProcess,
    first: jax.Array,
    last: jax.Array,
    *,
    problem: Problem,
) -> dict[str, jax.Array]:
    """Measure the error of denoising at timesteps from a band.

    On the middle of each record, of the size of the crops of training. Timestep and noise of a
    record follow from its index alone: every evaluation asks the same.

    Args:
        params: the parameters to evaluate.
        batch: `image` [B, S, S, C] and `mask` [B, S, S, 1] as stored, `index` [B] int32.
        process: how inputs are noised.
        first: [] int32, the first timestep of the band.
        last: [] int32, the one after its last.
        problem: the static part, of a task that denoises.

    Returns:
        `error` [B] float32, the squared error, summed over the pixels that count; `power` [B]
        float32, that of predicting zero; `num_values` [B] float32, how many values those are.
    """
    size = problem.augmentation.crop_size
    batch = {key: centre_crop(batch[key], size) for key in problem.task.record_keys} | {
        "index": batch["index"]
    }
    batch = problem.scaled(batch)
    x = problem.task.inputs(batch)

    def draw(index: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), index), first)
        timestep_key, noise_key = jax.random.split(key)
        timestep = jax.random.randint(timestep_key, (), first, last)
        return timestep, jax.random.normal(noise_key, x.shape[1:], x.dtype)

    timesteps, eps = jax.vmap(draw)(batch["index"])
    noised = problem.noised(process, x, eps, timesteps)
    targets = problem.task.targets(batch, noised)
    outputs = problem.apply(process, params, noised.x_t, timesteps)
    error = squared_errors(outputs, *targets)
    power = squared_errors(jnp.zeros_like(outputs), *targets)
    return {"error": error.total, "power": power.total, "num_values": error.weight}


def prediction_noise(
    process: NoiseProcess, draws: jax.Array, batch: Batch, shape: tuple[int, ...]
) -> jax.Array:
    """Draw the noise of tiles by their places; zeros for processes that have no Gaussian part.

    Args:
        process: how inputs are noised.
        draws: [D] int32.
        batch: `scene`, `row` and `column`, as in `eval_step`.
        shape: (H, W, C) of a tile.

    Returns:
        [B, D, H, W, C] float32.
    """
    place = batch["scene"], batch["row"], batch["column"]
    field = functools.partial(noise_field, shape=shape)
    fields = jax.vmap(jax.vmap(field, (0, None, None, None)), (None, 0, 0, 0))
    return jax.lax.cond(
        process.mix.gaussian != 0,
        lambda: fields(draws, *place),
        lambda: jnp.zeros((*place[0].shape, *draws.shape, *shape)),
    )


def _predict(
    params: Any, batch: Batch, process: NoiseProcess, draws: jax.Array, problem: Problem
) -> tuple[jax.Array, jax.Array]:
    """Return log probabilities [B, H, W, K] of the mean, and each P(not class 0) [B, N, H, W]."""
    batch = problem.scaled(batch)
    x = problem.task.inputs(batch)
    num, steps = x.shape[0], process.inference_timesteps
    averaged = draws.shape[0] * steps.shape[0]
    # One large batch in which all draws and timesteps of a record follow each other, on the same
    # device.
    timesteps = jnp.tile(steps, num * draws.shape[0])
    repeated = jnp.repeat(x, averaged, axis=0)
    eps = prediction_noise(process, draws, batch, x.shape[1:])
    eps = jnp.repeat(eps.reshape(-1, *x.shape[1:]), steps.shape[0], axis=0)
    x_t = problem.noised(process, repeated, eps, timesteps).x_t
    log_probs = jax.nn.log_softmax(problem.apply(process, params, x_t, timesteps), axis=-1)
    log_probs = log_probs.reshape(num, averaged, *log_probs.shape[1:])
    foreground = 1 - jnp.exp(log_probs[..., 0])
    mean = jax.nn.logsumexp(log_probs, axis=1) - jnp.log(jnp.float32(averaged))
    return mean, foreground
