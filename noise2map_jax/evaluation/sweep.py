"""Scores of a trained network at other timesteps than its own, without training it again."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.devices.sharding import batch_sharding, replicated
from noise2map_jax.evaluation.evaluator import SplitReader
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.experiment.problem import Batch, Problem
from noise2map_jax.method.noise import NoiseProcess, noise_draws
from noise2map_jax.steps.eval_step import eval_step

MOST_PREDICTIONS = 16  # predictions of a record in one call; each takes memory for a whole batch


def sweep_step(
    params: Any,
    batch: Batch,
    process: NoiseProcess,
    draws: jax.Array,
    timesteps: jax.Array,
    *,
    problem: Problem,
) -> jax.Array:
    """Compute the confusion matrices of a batch at several timesteps in one call.

    Args:
        params: the parameters to evaluate.
        batch: as in `eval_step`.
        process: the noise process; its own inference timesteps are not used.
        draws: as in `eval_step`, the same at every timestep.
        timesteps: [G] int32.
        problem: the static part.

    Returns:
        [G, K, K] int32, one confusion matrix a timestep (row = label, column = prediction).
    """

    def at(timestep: jax.Array) -> jax.Array:
        there = process.replace(inference_timesteps=timestep[None])
        return eval_step(params, batch, there, draws, problem=problem)["confusion"].sum(axis=0)

    # The weights are shared: under vmap the timesteps become one large batch.
    return jax.vmap(at)(timesteps)


class TimestepSweep:
    """Evaluates networks of a task on one split at a grid of timesteps; compiles once."""

    def __init__(self, objective: Objective, mesh: Mesh, split: str):
        self._reader, self._rep = SplitReader(objective, mesh, split), replicated(mesh)
        self._num_draws = objective.config.eval.num_noise_draws
        self._num_classes = objective.problem.num_classes
        self._step = jax.jit(
            functools.partial(sweep_step, problem=objective.problem),
            in_shardings=(self._rep, batch_sharding(mesh), *[self._rep] * 3),
            out_shardings=self._rep,
            compiler_options=compiler_options(mesh.devices.flat),
        )

    def __call__(self, params: Any, process: NoiseProcess, timesteps: np.ndarray) -> np.ndarray:
        """Compute confusion matrices [G, K, K] int64 of the whole split at timesteps [G]."""
        counts = np.zeros((len(timesteps), self._num_classes, self._num_classes), np.int64)
        if not len(timesteps):
            return counts
        draws = noise_draws(process, self._num_draws)
        size = min(len(timesteps), max(1, MOST_PREDICTIONS // len(draws)))
        for batch in self._reader.batches():
            for first in range(0, len(timesteps), size):
                part = timesteps[first : first + size]
                filled = np.resize(part, size)  # all calls have the same size
                grid = jax.device_put(jnp.asarray(filled, jnp.int32), self._rep)
                found = jax.device_get(self._step(params, batch, process, draws, grid))
                counts[first : first + size] += found[: len(part)]
        return counts


def timestep_grid(process: NoiseProcess, number: int) -> np.ndarray:
    """Spread timesteps evenly over [0, T - 1]: [G] int32, without repetition."""
    last = process.num_train_timesteps - 1
    return np.unique(np.linspace(0, last, number).round()).astype(np.int32)
