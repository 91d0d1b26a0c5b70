"""The picture of a run's predictions on records of a split."""

import functools
import pathlib
from typing import Any

import jax
import numpy as np

from noise2map_jax import report
from noise2map_jax.dataset import record_id
from noise2map_jax.eval_step import predict_step
from noise2map_jax.evaluator import MapEvaluation
from noise2map_jax.experiment import Objective


def save_predictions(
    objective: Objective, split: str, evaluation: MapEvaluation, params: Any, path: pathlib.Path
) -> np.ndarray | None:
    """Draw predictions of records spread over the split.

    Only records with foreground, where there are any: empty tiles show nothing. The process that
    draws predicts by itself on its own first device.

    Returns:
        The picture, [H, W, 3] uint8; None when no pictures are wanted.
    """
    number = objective.config.eval.num_pictures
    if not number:
        return None
    foreground = np.flatnonzero(evaluation.has_class_from(1))
    order = foreground if len(foreground) else np.arange(len(evaluation.confusions))
    picks = order[np.unique(np.linspace(0, len(order) - 1, number).round().astype(int))]
    source = objective.dataset.source(split)
    device = jax.local_devices()[0]
    local = jax.device_put(jax.device_get((params, objective.process)), device)
    predict = jax.jit(functools.partial(predict_step, problem=objective.problem))
    rows = []
    for i in picks:
        record = source[int(i)]
        batch = {key: record[key][None] for key in objective.record_keys}
        rows.append(
            report.PredictedRecord(
                images=tuple(record[key] for key in objective.task.image_keys),
                mask=record["mask"][..., 0],
                probabilities=np.asarray(predict(local[0], batch, local[1]).probabilities[0]),
                label=record_id(record),
            )
        )
    f1 = evaluation.summary()["f1/foreground"]
    title = f"{objective.dataset.name}, {split}: foreground F1 {100 * f1:.2f} % over all tiles"
    picture = report.draw_predictions(rows, objective.problem.value_range, title)
    report.save_png(picture, path)
    return picture
