"""The report of a training run: pictures of predictions, and a page for each task."""

import pathlib
from typing import Any

from noise2map_jax.evaluation.evaluator import MapEvaluation
from noise2map_jax.evaluation.predictions import predict_spread, save_predictions
from noise2map_jax.page.render import render_run, write_page
from noise2map_jax.pictures.prediction_rows import PredictedRecord
from noise2map_jax.reports.page import run_page
from noise2map_jax.reports.parts import command_line
from noise2map_jax.training.validation import ValidationResult
from noise2map_jax.training.writer import MetricWriter


def write_report(
    result: ValidationResult, params: Any, step: int, writer: MetricWriter, workdir: pathlib.Path
) -> list[pathlib.Path]:
    """Write `report/predictions.png` and `report/index.html`; in a run of several tasks, one each.

    Args:
        result: the evaluation of the best parameters.
        params: the best parameters.
        step: the last step of the run; TensorBoard shows the pictures under it.
        writer: writes TensorBoard's events.
        workdir: the run's work folder.

    Returns:
        The files that were written.
    """
    experiment, paths = result.experiment, []
    folder = workdir / "report"
    folder.mkdir(parents=True, exist_ok=True)
    for name, evaluation in result.evaluations.items():
        objective = experiment.objectives[name]
        rows: list[PredictedRecord] = []
        if isinstance(evaluation, MapEvaluation):
            rows = predict_spread(objective, "val", evaluation, params)
            if rows:
                path = folder / experiment.file_name("predictions.png", name)
                picture = save_predictions(objective, "val", evaluation, rows, path)
                tag = "predictions/" + experiment.metric_name("val", name)
                writer.write_image(step, tag, picture)
                paths.append(path)
        path = folder / experiment.file_name("index.html", name)
        notes = (result.choice,) if result.choice else ()
        page = run_page(experiment, objective, evaluation, rows, workdir, command_line(), notes)
        write_page(render_run(page), path)
        paths.append(path)
    return paths
