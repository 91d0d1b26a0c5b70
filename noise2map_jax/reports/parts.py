"""Parts that the pages of runs and studies share: learning curves, noised inputs, predictions."""

import csv
import json
import pathlib
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from noise2map_jax.command_name import command_name
from noise2map_jax.data.dataset import record_id
from noise2map_jax.data.tile_position import tile_position
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.method.foreground_scores import foreground_f1
from noise2map_jax.page.content import NoisedInputs, Prediction, ScenePictures, StepPart
from noise2map_jax.page.curves import LearningCurve
from noise2map_jax.pictures.prediction_rows import PredictedRecord, to_rgb
from noise2map_jax.steps.eval_step import prediction_noise

NUM_NOISED = 6  # number of timesteps that noised inputs are shown at
NUM_SAMPLED = 4  # number of evaluations that samples are shown of


def command_line() -> str:
    """Return the command that started this program, so that a reader can repeat it."""
    return f"{command_name('noise2map', 'noise2map_jax.main')} {shlex.join(sys.argv[1:])}"


def learning_curve(
    workdir: pathlib.Path, variant: str, seed: int, *, loss: str, f1: str
) -> LearningCurve:
    """Read a learning curve from a run's `metrics.jsonl`; `loss` and `f1` are names in it."""
    found: dict[str, list[tuple[int, float]]] = {loss: [], f1: []}
    path = workdir / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.is_file() else ():
        entry = json.loads(line)
        for name, values in found.items():
            if name in entry:
                value = entry[name]
                values.append((entry["step"], np.nan if value is None else value))
    steps = {name: np.array([step for step, _ in values]) for name, values in found.items()}
    numbers = {name: np.array([value for _, value in values]) for name, values in found.items()}
    return LearningCurve(variant, seed, steps[loss], numbers[loss], steps[f1], numbers[f1])


def step_parts(path: pathlib.Path) -> tuple[StepPart, ...]:
    """Read where the time of recorded steps went, the largest part first; empty without a file."""
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        found = [
            StepPart(
                f"{row['part']} {row['direction']}".strip(),
                float(row["ms_a_step"]),
                float(row["share"]),
            )
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(found, key=lambda part: -part.milliseconds))


def drawn_samples(folder: pathlib.Path, name: str) -> tuple[tuple[int, np.ndarray], ...]:
    """Read a denoiser's samples from `NUM_SAMPLED` evaluations spread over its training.

    Args:
        folder: the folder of the report.
        name: file name of the pictures, with `*` for the step.

    Returns:
        Pairs of step and picture [H, W, 3] uint8.
    """
    pattern = re.compile(re.escape(name).replace(r"\*", r"(\d+)"))
    # The exact pattern skips files that people put there under other names.
    found = {int(m[1]): path for path in folder.iterdir() if (m := pattern.fullmatch(path.name))}
    steps = sorted(found)
    spread = np.linspace(0, len(steps) - 1, min(NUM_SAMPLED, len(steps))).round().astype(int)
    pictures = {steps[i]: found[steps[i]] for i in spread}
    return tuple((step, np.asarray(Image.open(path))) for step, path in pictures.items())


def noised_inputs(objective: Objective, record: dict[str, Any], variant: str) -> NoisedInputs:
    """Show the network's input for one record at timesteps of training and of prediction."""
    problem, process = objective.problem, jax.device_get(objective.process)
    trained = np.flatnonzero(process.timestep_weights)
    spread = trained[np.linspace(0, len(trained) - 1, NUM_NOISED).round().astype(int)]
    timesteps = np.unique([*spread, *process.inference_timesteps[:1]]).astype(np.int32)
    batch = problem.scaled({k: jnp.asarray(record[k][None]) for k in objective.task.image_keys})
    x = jnp.repeat(problem.task.inputs(batch), len(timesteps), axis=0)
    place = {k: v[None] for k, v in tile_position(record_id(record)).items()}
    first_draw = prediction_noise(process, jnp.zeros(1, jnp.int32), place, x.shape[1:])
    eps = jnp.broadcast_to(first_draw[0], x.shape)
    x_t = np.asarray(problem.noised(process, x, eps, jnp.asarray(timesteps)).x_t)
    # [G, H, W, images * C] -> [G, images, H, W, C]; -1 is black and 1 white, as in the input.
    dates = np.stack(np.split(x_t, len(objective.task.image_keys), axis=-1), axis=1)
    shown = np.stack([np.stack([to_rgb_scaled(image) for image in images]) for images in dates])
    images = shown[:, 0] if shown.shape[1] == 1 else shown
    return NoisedInputs(variant, tuple(timesteps.tolist()), images)


def to_rgb_scaled(image: np.ndarray) -> np.ndarray:
    """Return the first three bands of an input [H, W, C] as uint8, clipped to [-1, 1]."""
    return to_rgb(np.round(127.5 * np.clip(image, -1, 1) + 127.5).astype(np.uint8), (0.0, 255.0))


def scene_pictures(
    objective: Objective,
    name: str,
    record: PredictedRecord,
    predicted: Sequence[tuple[str, np.ndarray]],
) -> ScenePictures:
    """Show the predictions of several variants for one record.

    Args:
        objective: the task of the record.
        name: title of the pictures.
        record: the record.
        predicted: pairs of variant and its probabilities [H, W, K].
    """
    problem = objective.problem
    predictions = []
    for variant, probabilities in predicted:
        classes = np.argmax(probabilities, axis=-1)
        counted = record.mask < problem.num_classes
        confusion = np.bincount(
            record.mask[counted].astype(int) * problem.num_classes + classes[counted],
            minlength=problem.num_classes**2,
        ).reshape(problem.num_classes, problem.num_classes)
        f1 = float(foreground_f1(confusion))
        predictions.append(Prediction(variant, classes, 1 - probabilities[..., 0], f1))
    images = tuple(to_rgb(image, problem.value_range) for image in record.images)
    return ScenePictures(name, images, record.mask, tuple(predictions))
