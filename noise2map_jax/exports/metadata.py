"""What an export says about itself, the same in every format."""

from typing import Any

import noise2map_jax
from noise2map_jax.experiment.config_fields import digest
from noise2map_jax.exports.prediction import TilePrediction
from noise2map_jax.weights.finished_run import FinishedRun


def describe(run: FinishedRun, prediction: TilePrediction, resolution: float = 0.0) -> dict:
    """Describe a prediction.

    Args:
        run: the run that it is of.
        prediction: the prediction.
        resolution: side of a pixel that the network was trained on, in cm; 0 = not known.

    Returns:
        Content for JSON: task, classes, input, timesteps, and what was trained and measured.
    """
    data, task = prediction.config.data, prediction.problem.task
    return {
        "software": f"noise2map_jax {noise2map_jax.__version__}",
        "task": task.name,
        "task_title": task.title,
        "classes": list(prediction.classes),
        "image_keys": list(prediction.image_keys),
        "num_bands": data.num_bands,
        "source_bands": list(data.bands),  # which bands of image files; empty = all but alpha
        "dtype": data.dtype,
        "tile_size": prediction.tile_size,
        "resolution_cm": resolution or None,
        "timesteps": list(prediction.timesteps),
        "num_noise_draws": len(prediction.draws) if prediction.draws_noise else 0,
        "temperature": prediction.problem.temperature,
        "step": run.step,
        "config_sha256": digest(run.views[task.name]),
        "scores": _scores(run, task.name),
    }


def _scores(run: FinishedRun, task: str) -> list[dict[str, Any]]:
    """Collect the scores of these parameters: what was measured, on what, and how."""
    found = []
    for name, content in run.scores.items():
        split = name.removeprefix("scores_").removesuffix(".json")
        if run.config.tasks:
            if not split.endswith(f"_{task}"):
                continue
            split = split.removesuffix(f"_{task}")
        if content["step"] == run.step and "all tiles" in content["scores"]:
            found.append(
                {
                    "split": split,
                    "protocol": content["protocol"],
                    "timesteps": content.get("inference_timesteps"),
                    "scores": content["scores"]["all tiles"],
                }
            )
    return found
