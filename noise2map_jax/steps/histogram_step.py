"""How often each foreground probability is predicted, by what the label says."""

from typing import Any

import jax
import jax.numpy as jnp

from noise2map_jax.experiment.problem import Batch, Problem
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.method.noise import NoiseProcess
from noise2map_jax.steps.eval_step import predict_step

NUM_BINS = 1000


def histogram_step(
    params: Any, batch: Batch, process: NoiseProcess, draws: jax.Array, *, problem: Problem
) -> jax.Array:
    """Count the pixels of a batch by probability and label; arguments as in `eval_step`.

    Returns:
        [2, NUM_BINS] int32: pixels whose label is class 0, and those of other classes, by their
        1 - P(class 0). Bin k begins at k / NUM_BINS, and the last holds 1 too. Ignored pixels are
        not counted.
    """
    found = predict_step(params, batch, process, draws, problem=problem)
    labels = jnp.where(batch["valid"][:, None, None], batch["mask"][..., 0], IGNORE)
    bins = jnp.floor((1 - found.probabilities[..., 0]) * NUM_BINS).astype(jnp.int32)
    bins = jnp.clip(bins, 0, NUM_BINS - 1)
    places = jnp.where(labels == IGNORE, 2 * NUM_BINS, (labels > 0) * NUM_BINS + bins)
    counts = jnp.zeros(2 * NUM_BINS + 1, jnp.int32).at[places.reshape(-1)].add(1)
    return counts[:-1].reshape(2, NUM_BINS)
