"""Scores and sampled pictures of a training run on the validation split."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from noise2map_jax.errors import UserError
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
        """What chooses the best checkpoint, higher is better.

        The mean score over the tasks in which it is defined. Where it is in none, because the split
        holds no foreground, the negative mean loss; NaN if no pixel counts.
        """
        evaluations = self.evaluations.values()
        scores = [e.score for e in evaluations if not np.isnan(e.score)]
        losses = [e.loss for e in evaluations if not np.isnan(e.loss)]
        values = scores or [-loss for loss in losses]
        return float(np.mean(values)) if values else float("nan")

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

    @property
    def choice(self) -> str:
        """What chose the best parameters where it was not the score of every task; else empty."""
        without = [name for name, e in self.evaluations.items() if np.isnan(e.score)]
        if not without:
            return ""
        said = f"F1 of {', '.join(without)} is not defined on val, which holds no foreground"
        if others := [name for name in self.evaluations if name not in without]:
            return f"{said}: the score of {', '.join(others)} chose the best parameters"
        if np.isnan(self.score):
            return f"{said} and no pixel that counts: these are the last parameters"
        return f"{said}: the lowest validation loss chose the best parameters"


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


def create_validation(experiment: Experiment) -> Validation | None:
    """Make the evaluation on the validation split; None if the config asks for none.

    Raises:
        UserError: a dataset has no validation split.
    """
    if not experiment.config.train.validate:
        return None
    for objective in experiment.objectives.values():
        if "val" not in objective.dataset.splits:
            raise UserError(
                f"dataset {objective.dataset.name!r} has no 'val' split; it has "
                f"{', '.join(objective.dataset.splits)}. Build one with --splits of data_prep, or "
                "train without validation by --config.train.validate=False: then the parameters "
                "of the last step are kept"
            )
    return Validation(experiment)


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
