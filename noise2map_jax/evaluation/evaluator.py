"""Evaluation of parameters on a whole split: confusion matrices of maps, or denoising errors."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from noise2map_jax.data.input_pipeline import eval_batches
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.devices.sharding import (
    batch_sharding,
    check_batch_size,
    process_rows,
    replicate,
    replicated,
    shard_batch,
)
from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.number_text import number
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.method import metrics
from noise2map_jax.method.noise import NoiseProcess, noise_draws
from noise2map_jax.steps.eval_step import denoising_eval_step, eval_step
from noise2map_jax.steps.probability_counts import ProbabilityCounts

Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class MapEvaluation:
    """The counts of a task that predicts maps, on one split.

    Attributes:
        loss: the weighted loss over all pixels.
        confusions: [N, K, K] int64, one matrix a record, in the order of the split.
        classes: names of the K classes.
        probabilities: by temperature, sums over all pixels; empty if none was asked for.
    """

    loss: float
    confusions: np.ndarray
    classes: tuple[str, ...]
    probabilities: dict[float, ProbabilityCounts] = dataclasses.field(default_factory=dict)

    def summary(self, rows: np.ndarray | None = None) -> dict[str, float]:
        """Scores of the summed confusion matrix of the records `rows` (None = all)."""
        chosen = self.confusions if rows is None else self.confusions[rows]
        return metrics.summary(chosen.sum(axis=0), self.classes)

    def has_class_from(self, first: int) -> np.ndarray:
        """Return [N] bool: whether the labels of a record hold class `first` or a later one."""
        return self.confusions[:, first:].sum(axis=(1, 2)) > 0

    @property
    def score(self) -> float:
        """Foreground F1, which chooses the best checkpoint; NaN if the labels hold none."""
        return self.summary()["f1/foreground"]

    @property
    def headline(self) -> str:
        """The score for people; the loss where it is not defined."""
        if np.isnan(self.score):
            return f"foreground F1 n/a, loss {number(self.loss, '.4f')}"
        return f"foreground F1 {100 * self.score:.2f} %"


@dataclasses.dataclass(frozen=True)
class DenoisingEvaluation:
    """Denoising errors on a split, by band of timesteps.

    Attributes:
        errors: [N, bands] float64, sums of squared errors over the valid values of a record.
        powers: [N, bands] float64, the same sums if the prediction were zero.
        num_values: [N] float64, number of valid values of a record, without padding and no-data.
        bands: first and last timestep of each band.
    """

    errors: np.ndarray
    powers: np.ndarray
    num_values: np.ndarray
    bands: tuple[tuple[int, int], ...]

    @property
    def loss_by_band(self) -> np.ndarray:
        """[bands], the mean squared error over all valid values."""
        return self.errors.sum(axis=0) / self.num_values.sum()

    @property
    def zero_by_band(self) -> np.ndarray:
        """[bands], the same mean if the prediction were zero."""
        return self.powers.sum(axis=0) / self.num_values.sum()

    @property
    def loss(self) -> float:
        """Mean over values and bands: the loss for timesteps uniform over [0, T)."""
        return float(self.loss_by_band.mean())

    def summary(self) -> dict[str, float]:
        """Loss of each band, also as a share of the loss of predicting zero."""
        loss, zero = self.loss_by_band, self.zero_by_band
        names = [f"t{first:03d}-{last:03d}" for first, last in self.bands]
        return {
            "loss_over_zero": self.loss / float(zero.mean()),
            **{f"loss/{name}": float(v) for name, v in zip(names, loss, strict=True)},
            **{
                f"loss_over_zero/{name}": float(v)
                for name, v in zip(names, loss / zero, strict=True)
            },
        }

    @property
    def score(self) -> float:
        """The negative loss, which chooses the best checkpoint: higher is better."""
        return -self.loss

    @property
    def headline(self) -> str:
        """The score for people."""
        return f"loss {self.loss:.5f} ({self.summary()['loss_over_zero']:.4f} of predicting zero)"


Evaluation = MapEvaluation | DenoisingEvaluation


class SplitReader:
    """Reads the records of a split as batches on the devices."""

    def __init__(self, objective: Objective, mesh: Mesh, split: str):
        check_batch_size(objective.config.eval.batch_size, mesh.size)
        self._objective, self._mesh = objective, mesh
        self.source = objective.dataset.source(split)

    def batches(self) -> Iterator[dict[str, jax.Array]]:
        """Iterate over the split once, in order; see `eval_batches`."""
        config = self._objective.config
        batches = eval_batches(
            self.source,
            self._objective.task.record_keys,
            batch_size=config.eval.batch_size,
            rows=process_rows(self._mesh, config.eval.batch_size, jax.process_index()).tolist(),
            num_threads=config.data.num_threads,
            prefetch_size=config.data.prefetch_size,
        )
        return (shard_batch(batch, self._mesh) for batch in batches)


def jit_eval_step(
    problem: Problem, mesh: Mesh, temperatures: tuple[float, ...] = ()
) -> jax.stages.Wrapped:
    """Jit the evaluation step of maps: `(params, batch, process, draws) -> counts`; see there."""
    rep = replicated(mesh)
    # All outputs are replicated, so each process holds the counts of all rows.
    return jax.jit(
        _indexed(functools.partial(eval_step, problem=problem, temperatures=temperatures)),
        in_shardings=(rep, batch_sharding(mesh), rep, rep),
        out_shardings=rep,
        compiler_options=compiler_options(mesh.devices.flat),
    )


class MapEvaluator:
    """Evaluates a task with maps on one split; compiles once for all parameters and processes."""

    def __init__(
        self, objective: Objective, mesh: Mesh, split: str, temperatures: tuple[float, ...] = ()
    ):
        """Prepare the step; at the `temperatures`, probabilities are counted too."""
        self._objective, self._reader = objective, SplitReader(objective, mesh, split)
        self._mesh, self._temperatures = mesh, tuple(dict.fromkeys(temperatures))  # each once
        self._step = jit_eval_step(objective.problem, mesh, self._temperatures)

    def __call__(
        self, params: Any, process: NoiseProcess, progress: Progress | None = None
    ) -> MapEvaluation:
        """Count over the whole split.

        Args:
            params: parameters, replicated on the mesh.
            process: the noise process, replicated on the mesh.
            progress: called after each batch with its number of records.
        """
        classes = tuple(self._objective.config.data.classes)
        confusions = np.zeros((len(self._reader.source), *[len(classes)] * 2), np.int64)
        loss_total = loss_weight = 0.0
        probabilities = dict.fromkeys(self._temperatures, ProbabilityCounts(0, 0.0, 0.0))
        draws = noise_draws(process, self._objective.config.eval.num_noise_draws)
        with jax.transfer_guard("allow"):
            on_devices = replicate(draws, self._mesh)
        for batch in self._reader.batches():
            out = jax.device_get(self._step(params, batch, process, on_devices))
            rows = out["index"] >= 0  # other rows only fill the last batch
            confusions[out["index"][rows]] = out["confusion"][rows]
            loss_total += float(out["loss_total"])
            loss_weight += float(out["loss_weight"])
            for temperature, counts in zip(probabilities, out["probabilities"], strict=True):
                probabilities[temperature] = _added(probabilities[temperature], counts)
            if progress:
                progress(int(rows.sum()))
        loss = loss_total / loss_weight if loss_weight else float("nan")
        return MapEvaluation(loss, confusions, classes, probabilities)


class DenoisingEvaluator:
    """Evaluates denoising on one split, on each record once for every band of timesteps."""

    def __init__(self, objective: Objective, mesh: Mesh, split: str):
        self._objective, self._reader = objective, SplitReader(objective, mesh, split)
        config = objective.config.eval
        rep, rows = replicated(mesh), batch_sharding(mesh)
        self._step = jax.jit(
            _indexed(functools.partial(denoising_eval_step, problem=objective.problem)),
            in_shardings=(rep, rows, rep, rep, rep),
            out_shardings=rep,
            compiler_options=compiler_options(mesh.devices.flat),
        )
        total, num_bands = objective.config.noise.num_train_timesteps, config.num_timestep_bands
        if not 0 < num_bands <= total:
            raise UserError(
                f"eval.num_timestep_bands is {num_bands}; expected from 1 to T = {total}"
            )
        limits = np.linspace(0, total, num_bands + 1).astype(int)
        self._bands = list(itertools.pairwise(limits))

    def __call__(
        self, params: Any, process: NoiseProcess, progress: Progress | None = None
    ) -> DenoisingEvaluation:
        """Measure errors over the whole split; arguments as in `MapEvaluator`."""
        shape = (len(self._reader.source), len(self._bands))
        errors, powers, num_values = np.zeros(shape), np.zeros(shape), np.zeros(shape[0])
        for batch in self._reader.batches():
            for band, limits in enumerate(self._bands):
                with jax.transfer_guard("allow"):
                    first, last = (np.int32(t) for t in limits)
                    out = self._step(params, batch, process, first, last)
                out = jax.device_get(out)
                rows = out["index"] >= 0
                errors[out["index"][rows], band] = out["error"][rows]
                powers[out["index"][rows], band] = out["power"][rows]
                num_values[out["index"][rows]] = out["num_values"][rows]
            if progress:
                progress(int(rows.sum()))
        if not num_values.any():
            raise UserError(
                f"dataset {self._objective.dataset.name!r}: the centres of the evaluated records "
                "hold no valid pixel, so there is no error to measure"
            )
        bands = tuple((int(first), int(last) - 1) for first, last in self._bands)
        return DenoisingEvaluation(errors, powers, num_values, bands)


Evaluator = MapEvaluator | DenoisingEvaluator


def create_evaluator(
    objective: Objective, mesh: Mesh, split: str, temperatures: tuple[float, ...] = ()
) -> Evaluator:
    """Make the evaluator of a task; of maps, probabilities are counted at the `temperatures`."""
    if objective.task.has_classes:
        return MapEvaluator(objective, mesh, split, temperatures)
    return DenoisingEvaluator(objective, mesh, split)


def _added(total: ProbabilityCounts, counts: ProbabilityCounts) -> ProbabilityCounts:
    """Add the counts of a batch, in 64 bits."""
    return ProbabilityCounts(
        total.histogram + counts.histogram.astype(np.int64),
        total.squared_error + float(counts.squared_error),
        total.log_likelihood + float(counts.log_likelihood),
    )


def _indexed(step: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Make a step also return the record number of each row: devices may reorder rows."""
    return lambda params, batch, *rest: {"index": batch["index"], **step(params, batch, *rest)}
