"""Scores and sampled pictures of a training run on the validation split."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from noise2map_jax.evaluation.evaluator import Evaluation, create_evaluator
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.training.samples import save_samples
from noise2map_jax.training.writer import MetricWriter


@dataclasses.dataclass(frozen=True)
class ValidationResult:
    """The evaluations of all tasks.

    Attributes:
        experiment: the experiment that was evaluated.
        evaluations: evaluation by task.
    """

    experiment: Experiment
    evaluations: dict[str, Evaluation]

    @property
    def score(self) -> float:
        """The mean score over tasks, which chooses the best checkpoint."""
        return float(np.mean([evaluation.score for evaluation in self.evaluations.values()]))

    def scalars(self) -> dict[str, float]:
        """Return all losses and scores under the names that the writer uses."""
        named: dict[str, float] = {}
        for name, evaluation in self.evaluations.items():
            prefix = self.experiment.metric_name("", name)
            values = {"loss": evaluation.loss, **evaluation.summary()}
            named |= {f"val/{prefix}{key}": value for key, value in values.items()}
        return named

    def headline(self) -> str:
        """The scores for people, in one line."""
        return ", ".join(
            f"{self.experiment.metric_name('', name)}{evaluation.headline}"
            for name, evaluation in self.evaluations.items()
        )


class Validation:
    """Evaluates all tasks on the validation split.

    Compiles once for all experiments that differ from the first only in their noise processes.
    """

    def __init__(self, experiment: Experiment):
        self._evaluators = {
            name: create_evaluator(objective, experiment.mesh, "val")
            for name, objective in experiment.objectives.items()
        }

    def __call__(self, params: Any, experiment: Experiment) -> ValidationResult:
        """Evaluate parameters that are replicated on the mesh."""
        evaluations = {
            name: evaluate(params, experiment.objectives[name].process)
            for name, evaluate in self._evaluators.items()
        }
        return ValidationResult(experiment, evaluations)


def draw_samples(
    experiment: Experiment,
    params: Any,
    step: int,
    writer: MetricWriter | None,
    workdir: pathlib.Path,
) -> None:
    """Sample and save images with each denoising task whose config asks for some."""
    for name, objective in experiment.objectives.items():
        if writer is None or objective.task.has_classes or not objective.config.eval.num_samples:
            continue
        folder = workdir / "report"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / experiment.file_name(f"samples_{step:06d}.png", name)
        with jax.transfer_guard("allow"):
            picture = save_samples(objective, params, path)
        writer.write_image(step, f"samples/{name}", picture)
