"""Predictions of a trained network for some records of a split, and pictures of them."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from noise2map_jax.data.dataset import record_id
from noise2map_jax.data.tile_position import tile_position
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.evaluation.evaluator import MapEvaluation
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.method.noise import NoiseProcess, noise_draws
from noise2map_jax.page.number_text import percent_with_sign
from noise2map_jax.pictures import prediction_rows
from noise2map_jax.steps.eval_step import predict_step


class RecordPredictor:
    """Predicts single records for pictures; compiles once for all parameters and noise processes.

    The host process that draws the pictures predicts alone, on its first device.
    """

    def __init__(self, objective: Objective, split: str):
        self._objective = objective
        self._source = objective.dataset.source(split)
        self._predict = jax.jit(
            functools.partial(predict_step, problem=objective.problem),
            compiler_options=compiler_options(jax.local_devices()),
        )

    def __call__(
        self, params: Any, process: NoiseProcess, picks: Sequence[int]
    ) -> list[prediction_rows.PredictedRecord]:
        """Predict the records whose numbers are in `picks`."""
        local = jax.device_put(jax.device_get((params, process)), jax.local_devices()[0])
        keys, image_keys = self._objective.task.record_keys, self._objective.task.image_keys
        draws = noise_draws(process, self._objective.config.eval.num_noise_draws)
        rows = []
        for i in picks:
            record = self._source[int(i)]
            place = tile_position(record_id(record))
            batch = {key: record[key][None] for key in keys}
            batch |= {key: value[None] for key, value in place.items()}
            rows.append(
                prediction_rows.PredictedRecord(
                    images=tuple(record[key] for key in image_keys),
                    mask=record["mask"][..., 0],
                    probabilities=np.asarray(
                        self._predict(local[0], batch, local[1], draws).probabilities[0]
                    ),
                    label=record_id(record),
                )
            )
        return rows


def spread(has_foreground: np.ndarray, number: int) -> list[int]:
    """Pick records spread over a split; only those with foreground, if there are any.

    Args:
        has_foreground: [N] bool.
        number: the largest number of records to pick.

    Returns:
        Numbers of records, ascending.
    """
    found = np.flatnonzero(has_foreground)
    order = found if len(found) else np.arange(len(has_foreground))
    return order[np.unique(np.linspace(0, len(order) - 1, number).round().astype(int))].tolist()


def save_predictions(
    objective: Objective,
    split: str,
    evaluation: MapEvaluation,
    rows: Sequence[prediction_rows.PredictedRecord],
    path: pathlib.Path,
) -> np.ndarray:
    """Draw predictions under the score of the whole split, save the picture, return it.

    Returns:
        The picture, [H, W, 3] uint8.
    """
    f1 = percent_with_sign(evaluation.summary()["f1/foreground"])
    title = f"{objective.dataset.name}, {split}: foreground F1 {f1} over all tiles"
    picture = prediction_rows.draw_predictions(rows, objective.problem.value_range, title)
    prediction_rows.save_png(picture, path)
    return picture


def predict_spread(
    objective: Objective, split: str, evaluation: MapEvaluation, params: Any
) -> list[prediction_rows.PredictedRecord]:
    """Predict `eval.num_pictures` records, spread over a split."""
    number = objective.config.eval.num_pictures
    if not number:
        return []
    picks = spread(evaluation.has_class_from(1), number)
    return RecordPredictor(objective, split)(params, objective.process, picks)
