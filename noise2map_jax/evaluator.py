"""Counting predictions against the truth: one confusion matrix a record, over a whole split."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from noise2map_jax import metrics
from noise2map_jax.experiment import Experiment
from noise2map_jax.input_pipeline import eval_batches
from noise2map_jax.noise import NoiseProcess
from noise2map_jax.sharding import batch_sharding, check_batch_size, replicated, shard_batch
from noise2map_jax.step import Batch, Problem, eval_step


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was counted on a split.

    Attributes:
        loss: the weighted loss over all pixels.
        confusions: [N, K, K] int64, one matrix a record, in the order of the split.
        classes: K names.
    """

    loss: float
    confusions: np.ndarray
    classes: tuple[str, ...]

    def summary(self, rows: np.ndarray | None = None) -> dict[str, float]:
        """Scores of one confusion matrix over the records `rows` (all when None)."""
        chosen = self.confusions if rows is None else self.confusions[rows]
        return metrics.summary(chosen.sum(axis=0), self.classes)

    def has_class_from(self, first: int) -> np.ndarray:
        """Return [N] bool: whether the truth of a record holds class `first` or one after it."""
        return self.confusions[:, first:].sum(axis=(1, 2)) > 0

    @property
    def foreground_f1(self) -> float:
        """The score by which the best checkpoint is chosen; 0 where it is not defined."""
        value = self.summary()["f1/foreground"]
        return 0.0 if np.isnan(value) else value


class Evaluator:
    """Evaluates parameters on one split; compiled once, run as often as wanted."""

    def __init__(self, experiment: Experiment, split: str):
        config = experiment.config
        check_batch_size(config.eval.batch_size, experiment.mesh)
        self._experiment = experiment
        self._source = experiment.dataset.source(split)
        mesh = experiment.mesh
        # Everything comes out replicated: each process then holds the counts of all rows.
        self._step = jax.jit(
            functools.partial(_indexed_eval_step, problem=experiment.problem),
            in_shardings=(replicated(mesh), batch_sharding(mesh), replicated(mesh)),
            out_shardings=replicated(mesh),
        )

    def __call__(self, params: Any, progress: Callable[[int], None] | None = None) -> Evaluation:
        """Count over the whole split.

        Args:
            params: parameters, replicated on the mesh.
            progress: called with the number of records done after each batch.
        """
        config, mesh = self._experiment.config, self._experiment.mesh
        batches = eval_batches(
            self._source,
            self._experiment.record_keys,
            batch_size=config.eval.batch_size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            num_threads=config.data.num_threads,
            prefetch_size=config.data.prefetch_size,
        )
        confusions = np.zeros((len(self._source), *[len(config.data.classes)] * 2), np.int64)
        loss_total = loss_weight = 0.0
        for batch in batches:
            out = jax.device_get(
                self._step(params, shard_batch(batch, mesh), self._experiment.process)
            )
            rows = out["index"] >= 0  # others only fill the last batch
            confusions[out["index"][rows]] = out["confusion"][rows]
            loss_total += float(out["loss_total"])
            loss_weight += float(out["loss_weight"])
            if progress:
                progress(int(rows.sum()))
        loss = loss_total / loss_weight if loss_weight else float("nan")
        return Evaluation(loss, confusions, tuple(config.data.classes))


def _indexed_eval_step(
    params: Any, batch: Batch, process: NoiseProcess, *, problem: Problem
) -> dict[str, jax.Array]:
    """Score a batch, and say which record each row is: devices may order rows as they like."""
    return {"index": batch["index"], **eval_step(params, batch, process, problem=problem)}
