"""Content of a training run's page: validation scores, learning curves, predictions."""

import pathlib
from collections.abc import Sequence

import numpy as np

from noise2map_jax import strict_json
from noise2map_jax.evaluation.evaluator import Evaluation, MapEvaluation
from noise2map_jax.experiment.experiment import Experiment, Objective
from noise2map_jax.experiment.network_choice import sees_noise
from noise2map_jax.method.metrics import class_keys
from noise2map_jax.page.content import ClassScore, RunPage
from noise2map_jax.pictures.prediction_rows import PredictedRecord
from noise2map_jax.reports.parts import (
    drawn_samples,
    learning_curve,
    noised_inputs,
    scene_pictures,
    step_parts,
)
from noise2map_jax.training.profile import FOLDER, TABLE


def run_page(
    experiment: Experiment,
    objective: Objective,
    evaluation: Evaluation,
    rows: Sequence[PredictedRecord],
    workdir: pathlib.Path,
    command: str,
    notes: tuple[str, ...] = (),
) -> RunPage:
    """Gather the page's content for one task of a run.

    Args:
        experiment: the experiment that was trained.
        objective: the task.
        evaluation: evaluation of the best parameters on the validation split.
        rows: predictions of the best parameters for a few records of that split.
        workdir: the run's work folder.
        command: the command that started the run.
        notes: what must be known of its scores, one line each.
    """
    config, name = experiment.config, objective.task.name
    loss = f"train/loss/{name}" if len(experiment.objectives) > 1 else "train/loss"
    f1 = f"val/{experiment.metric_name('f1/foreground', name)}"
    first = objective.dataset.source("val")[0]
    return RunPage(
        title=f"{name} on {objective.dataset.name}",
        protocol=f"{evaluation.headline} on {objective.protocol('val')}",
        command=command,
        config=strict_json.dumps(config.to_dict(), indent=2),
        scores=_class_scores(evaluation) if isinstance(evaluation, MapEvaluation) else (),
        classes=tuple(objective.config.data.classes),
        notes=notes,
        samples=drawn_samples(workdir / "report", experiment.file_name("samples_*.png", name)),
        profile=step_parts(workdir / FOLDER / TABLE),
        curves=(learning_curve(workdir, name, config.seed, loss=loss, f1=f1),),
        noised=(noised_inputs(objective, first, name),) if sees_noise(objective.config) else (),
        pictures=tuple(
            scene_pictures(objective, row.label, row, [(name, row.probabilities)]) for row in rows
        ),
        pictures_note="Tiles of the validation split, predicted by the best checkpoint.",
    )


def _class_scores(evaluation: MapEvaluation) -> tuple[ClassScore, ...]:
    scores = evaluation.summary()
    return tuple(
        ClassScore(
            name, *(scores.get(f"{m}/{name}", np.nan) for m in ("f1", "iou", "precision", "recall"))
        )
        for name in (*class_keys(evaluation.classes), "mean")
    )
