"""The temperature with which the labels of a split are most likely (Guo et al. 2017)."""

import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.devices.sharding import batch_sharding, replicate, replicated
from noise2map_jax.evaluation.evaluator import Progress, SplitReader
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.method.noise import NoiseProcess, noise_draws
from noise2map_jax.steps.eval_step import likelihood_step

TEMPERATURES = np.geomspace(1 / 8, 8, 61).astype(np.float32)


class TemperatureFinder:
    """Finds the temperature with the highest likelihood of the labels of one split."""

    def __init__(self, objective: Objective, mesh: Mesh, split: str):
        self._objective, self._mesh = objective, mesh
        self._reader = SplitReader(objective, mesh, split)
        rep = replicated(mesh)
        self._step = jax.jit(
            functools.partial(likelihood_step, problem=objective.problem),
            in_shardings=(rep, batch_sharding(mesh), rep, rep, rep),
            out_shardings=rep,
            compiler_options=compiler_options(mesh.devices.flat),
        )

    def __call__(
        self, params: Any, process: NoiseProcess, progress: Progress | None = None
    ) -> float:
        """Return the best temperature; arguments as in `MapEvaluator`."""
        total = np.zeros(len(TEMPERATURES))
        draws = noise_draws(process, self._objective.config.eval.num_noise_draws)
        with jax.transfer_guard("allow"):
            on_devices = replicate((draws, TEMPERATURES), self._mesh)
        remaining, size = len(self._reader.source), self._objective.config.eval.batch_size
        for batch in self._reader.batches():
            total += jax.device_get(self._step(params, batch, process, *on_devices))
            if progress:
                progress(min(size, remaining))
            remaining -= size
        return best_temperature(total)


def best_temperature(log_likelihoods: np.ndarray) -> float:
    """Return the temperature of the highest likelihood, between those that were tried.

    A parabola through the best and its neighbours, over the temperature's logarithm, has its top
    there; at the ends of the range it is the end itself.

    Args:
        log_likelihoods: [G] float64, at `TEMPERATURES`.
    """
    at = int(np.argmax(log_likelihoods))
    if at in (0, len(TEMPERATURES) - 1):
        return float(TEMPERATURES[at])
    below, top, above = log_likelihoods[at - 1 : at + 2]
    curvature = below - 2 * top + above
    shift = 0.0 if curvature == 0 else 0.5 * (below - above) / curvature
    step = np.log(float(TEMPERATURES[1] / TEMPERATURES[0]))
    return float(TEMPERATURES[at] * np.exp(shift * step))
