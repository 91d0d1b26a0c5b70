"""The evaluation and prediction steps: pure functions that their callers jit."""

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
from noise2map_jax.steps.probability_counts import (
    at_temperature,
    log_likelihood,
    probability_counts,
)


class Prediction(NamedTuple):
    """The prediction for a batch over all inference timesteps and noise draws.

    Attributes:
        probabilities: [B, H, W, K] float32, class probabilities, averaged over timesteps and draws.
        uncertainty: [B, H, W] float32, standard deviation of 1 - P(class 0) over timesteps and
            draws; at most 0.5, and 0 with a single timestep and draw.
    """

    probabilities: jax.Array
    uncertainty: jax.Array


def eval_step(
    params: Any,
    batch: Batch,
    process: NoiseProcess,
    draws: jax.Array,
    *,
    problem: Problem,
    temperatures: tuple[float, ...] = (),
) -> dict[str, Any]:
    """Score the maps of a batch at the process's inference timesteps.

    Args:
        params: the parameters to evaluate.
        batch: as in `train_step`, with `valid` [B] bool (False for rows that only fill the batch)
            and the tile's position `scene` [B] uint32, `row` and `column` [B] int32 (see
            `tile_position`), which selects the noise.
        process: the noise process.
        draws: [D] int32, numbers of the Gaussian noise draws to average, see `noise.noise_draws`.
        problem: the static part.
        temperatures: at which probabilities are counted.

    Returns:
        `confusion` [B, K, K] int32 (row = label, column = prediction), all zeros for rows that
        are not valid; `loss_total` and `loss_weight`, [] float32: the loss is total / weight;
        `probabilities`, for each temperature the `ProbabilityCounts` of the batch.
    """
    log_probs, _ = _predict(params, batch, process, draws, problem)
    labels = _labels(batch)
    loss = problem.task.loss(log_probs, labels, jnp.asarray(problem.class_weights, jnp.float32))
    predictions = jnp.argmax(log_probs, axis=-1)
    return {
        "confusion": confusion_matrices(predictions, labels, problem.num_classes),
        "loss_total": loss.total,
        "loss_weight": loss.weight,
        "probabilities": [
            probability_counts(at_temperature(log_probs, t), labels) for t in temperatures
        ],
    }


def likelihood_step(
    params: Any,
    batch: Batch,
    process: NoiseProcess,
    draws: jax.Array,
    temperatures: jax.Array,
    *,
    problem: Problem,
) -> jax.Array:
    """Sum the log-likelihood of a batch's labels at each of the temperatures [G]: [G] float32.

    The other arguments are those of `eval_step`.
    """
    log_probs, _ = _predict(params, batch, process, draws, problem)
    labels = _labels(batch)
    return jax.lax.map(lambda t: log_likelihood(at_temperature(log_probs, t), labels), temperatures)


def predict_step(
    params: Any, batch: Batch, process: NoiseProcess, draws: jax.Array, *, problem: Problem
) -> Prediction:
    """Predict class probabilities and their uncertainty; arguments as in `eval_step`."""
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
    """Measure the error of denoising at random timesteps of one band.

    The error is measured on the centre of each record, at the crop size of training. Timestep and
    noise follow from the record's index and the band, so every evaluation uses the same ones.

    Args:
        params: the parameters to evaluate.
        batch: `image` [B, S, S, C] and `mask` [B, S, S, 1] as stored, `index` [B] int32.
        process: the noise process.
        first: [] int32, the first timestep of the band.
        last: [] int32, the timestep after the last of the band.
        problem: the static part of a denoising task.

    Returns:
        `error` [B] float32, the sum of squared errors over valid values; `power` [B] float32, the
        same sum if the prediction were zero; `num_values` [B] float32, the number of valid values.
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
    """Draw the noise of tiles by their positions; zeros if the process has no Gaussian part.

    Args:
        process: the noise process.
        draws: [D] int32, numbers of the draws.
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


def _labels(batch: Batch) -> jax.Array:
    """Return the labels [B, H, W]; rows that only fill the batch are ignored."""
    return jnp.where(batch["valid"][:, None, None], batch["mask"][..., 0], IGNORE)


def _predict(
    params: Any, batch: Batch, process: NoiseProcess, draws: jax.Array, problem: Problem
) -> tuple[jax.Array, jax.Array]:
    """Return the log of mean probabilities [B, H, W, K], and every 1 - P(class 0) [B, N, H, W]."""
    batch = problem.scaled(batch)
    x = problem.task.inputs(batch)
    num, steps = x.shape[0], process.inference_timesteps
    averaged = draws.shape[0] * steps.shape[0]
    # One large batch, in which all draws and timesteps of a record are adjacent: they stay on one
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
    if problem.temperature != 1:
        mean = at_temperature(mean, problem.temperature)
    return mean, foreground
