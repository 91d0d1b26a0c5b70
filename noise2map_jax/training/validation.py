"""What a training run measures and draws of itself on the validation split."""

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
    """One evaluation a task.

    Attributes:
        experiment: what was evaluated.
        evaluations: by task.
    """

    experiment: Experiment
    evaluations: dict[str, Evaluation]

    @property
    def score(self) -> float:
        """By which the best checkpoint is chosen: the mean over the tasks."""
        return float(np.mean([evaluation.score for evaluation in self.evaluations.values()]))

    def scalars(self) -> dict[str, float]:
        """Name everything that was measured, for the writer."""
        named: dict[str, float] = {}
        for name, evaluation in self.evaluations.items():
            prefix = self.experiment.metric_name("", name)
            values = {"loss": evaluation.loss, **evaluation.summary()}
            named |= {f"val/{prefix}{key}": value for key, value in values.items()}
        return named

    def headline(self) -> str:
        """The scores for people, in a line."""
        return ", ".join(
            f"{self.experiment.metric_name('', name)}{evaluation.headline}"
            for name, evaluation in self.evaluations.items()
        )


class Validation:
    """Evaluates all tasks on the validation split, and draws what they predict.

    Compiled once, for every experiment that differs from the first in its noise processes only.
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
    """Draw images sampled from each task that denoises, where its config asks for any."""
    for name, objective in experiment.objectives.items():
        if writer is None or objective.task.has_classes or not objective.config.eval.num_samples:
            continue
        folder = workdir / "report"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / experiment.file_name(f"samples_{step:06d}.png", name)
        with jax.transfer_guard("allow"):
            picture = save_samples(objective, params, path)
        writer.write_image(step, f"samples/{name}", picture)
