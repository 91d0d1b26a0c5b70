"""The threshold of the foreground probability that is best on a split."""

import dataclasses
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
from noise2map_jax.steps.histogram_step import NUM_BINS, histogram_step


@dataclasses.dataclass(frozen=True)
class ProbabilityHistogram:
    """Pixels of a split by label and foreground probability.

    Attributes:
        counts: [2, bins] int64: pixels of class 0, and pixels of other classes; the probabilities
            of bin k begin at k / bins.
    """

    counts: np.ndarray

    def f1(self) -> np.ndarray:
        """Return [bins] float64, the F1 of foreground against class 0 where p >= k / bins.

        NaN if no pixel is foreground. For two classes that is the foreground F1.
        """
        background, foreground = self.counts.astype(float)
        found = foreground[::-1].cumsum()[::-1]
        false = background[::-1].cumsum()[::-1]
        labelled = foreground.sum()
        if not labelled:
            return np.full(len(found), np.nan)
        return 2 * found / (found + false + labelled)

    def best(self) -> tuple[float, float]:
        """Return the threshold of the highest F1, and that F1.

        Of several equally good ones, the middle: with few pixels many thresholds are alike. NaN if
        no pixel is foreground.
        """
        scores = self.f1()[1:]  # at 0 all is foreground
        if np.isnan(scores).all():
            return float("nan"), float("nan")
        alike = np.flatnonzero(scores == scores.max())
        return float(alike[len(alike) // 2] + 1) / len(self.counts[0]), float(scores.max())


class HistogramEvaluator:
    """Counts probabilities on one split."""

    def __init__(self, objective: Objective, mesh: Mesh, split: str):
        self._objective, self._mesh = objective, mesh
        self._reader = SplitReader(objective, mesh, split)
        rep = replicated(mesh)
        self._step = jax.jit(
            functools.partial(histogram_step, problem=objective.problem),
            in_shardings=(rep, batch_sharding(mesh), rep, rep),
            out_shardings=rep,
            compiler_options=compiler_options(mesh.devices.flat),
        )

    def __call__(
        self, params: Any, process: NoiseProcess, progress: Progress | None = None
    ) -> ProbabilityHistogram:
        """Count over the whole split; arguments as in `MapEvaluator`."""
        counts = np.zeros((2, NUM_BINS), np.int64)
        draws = noise_draws(process, self._objective.config.eval.num_noise_draws)
        with jax.transfer_guard("allow"):
            on_devices = replicate(draws, self._mesh)
        remaining, size = len(self._reader.source), self._objective.config.eval.batch_size
        for batch in self._reader.batches():
            counts += jax.device_get(self._step(params, batch, process, on_devices))
            if progress:
                progress(min(size, remaining))
            remaining -= size
        return ProbabilityHistogram(counts)
