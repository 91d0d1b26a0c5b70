"""The program `--mode=baselines`: scores of maps that need no learning.

It scores two trivial predictors on the split that the network is evaluated on: everything is
foreground; and a threshold on brightness (one image) or on the mean absolute difference (a pair),
with level and direction fitted on the training split.
"""

import math
import pathlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.data.dataset import DATA_FIELDS, check_dataset
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.data.scene_share import SceneShare
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import CONFIG, evaluated_config
from noise2map_jax.experiment.scaling_config import resolve_scaling, value_range
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.method import metrics
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.method.tasks import get_task
from noise2map_jax.page.number_text import percent_with_sign

NUM_LEVELS = 256

Record = dict[str, Any]


def brightness(record: Record, limits: tuple[float, float]) -> np.ndarray:
    """Quantise the mean over bands to levels from 0 to `NUM_LEVELS` - 1, [H, W] int."""
    return _levels(record["image"].astype(np.float32).mean(axis=-1), limits)


def difference(record: Record, limits: tuple[float, float]) -> np.ndarray:
    """Quantise the mean absolute difference of the dates over bands to levels, [H, W] int."""
    pre, post = (record[key].astype(np.float32) for key in ("pre", "post"))
    return _levels(np.abs(post - pre).mean(axis=-1), (0.0, limits[1] - limits[0]))


FEATURES: dict[str, Callable[[Record, tuple[float, float]], np.ndarray]] = {
    "ss": brightness,
    "cd": difference,
}


def count_levels(records: Sequence[Record], feature: Callable[[Record], np.ndarray]) -> np.ndarray:
    """Count levels by class: [2, NUM_LEVELS] int64, first background, then foreground."""
    counts = np.zeros((2, NUM_LEVELS), np.int64)
    for record in records:
        levels, mask = feature(record), record["mask"][..., 0]
        for k in (0, 1):
            chosen = (mask != IGNORE) & ((mask > 0) == bool(k))
            counts[k] += np.bincount(levels[chosen], minlength=NUM_LEVELS)
    return counts


def confusion_of_threshold(counts: np.ndarray, threshold: int, above: bool) -> np.ndarray:
    """Return the confusion matrix [2, 2] of "foreground = level >= threshold", or "<"."""
    chosen = (np.arange(NUM_LEVELS) >= threshold) == above
    positive = counts[:, chosen].sum(axis=1)
    return np.stack([counts.sum(axis=1) - positive, positive], axis=1)


def fit_threshold(counts: np.ndarray) -> tuple[int, bool]:
    """Find the level and direction with the best foreground F1.

    Args:
        counts: [2, NUM_LEVELS]; the foreground occurs, else no F1 would be defined.
    """

    def f1(option: tuple[int, bool]) -> float:
        return float(metrics.scores(confusion_of_threshold(counts, *option)).f1[1])

    return max(((t, above) for t in range(NUM_LEVELS + 1) for above in (True, False)), key=f1)


def baselines(
    config: ConfigDict, workdir: pathlib.Path, deliberate: Collection[str] = ()
) -> dict[str, Any]:
    """Score the baselines on `config.eval.split`, and write `report/baselines_<split>.json`.

    Args:
        config: a config that names the data. If the work folder holds a run, it must be the run's
            config, as for `--mode=eval`, because the scores are compared with the run's.
        workdir: a work folder, with a run or without.
        deliberate: fields given one by one, as for `--mode=eval`.

    Returns:
        The content of the file: `protocol` and scores by baseline.

    Raises:
        UserError: the task has no baselines, or the data are not those of the run.
    """
    if (workdir / CONFIG).is_file():
        config, _ = evaluated_config(workdir, config, deliberate)
    views = task_configs(config)
    if len(views) > 1:
        raise UserError(
            f"this config has the tasks {', '.join(views)}; score the baselines with a config of "
            "one task"
        )
    task = get_task(config.task)
    if task.name not in FEATURES:
        raise UserError(f"task {task.name!r} has no baselines; expected {' or '.join(FEATURES)}")
    dataset, split = open_dataset(config.data.dataset, config.data.data_dir), config.eval.split
    if len(config.data.classes) != 2:
        raise UserError(
            f"baselines tell foreground from background; data.classes are {config.data.classes}"
        )
    check_dataset(dataset, task=task.name, **{k: config.data[k] for k in DATA_FIELDS})
    low, high = value_range(resolve_scaling(config, {task.name: dataset}))
    limits = float(np.min(low)), float(np.max(high))  # of all bands together

    def feature(record: Record) -> np.ndarray:
        return FEATURES[task.name](record, limits)

    counts, classes = count_levels(dataset.source(split), feature), ("background", "foreground")
    scores = {
        "everything foreground": metrics.summary(confusion_of_threshold(counts, 0, True), classes)
    }
    train = config.train  # the predictors learn from what the run itself learns from
    labelled = SceneShare(train.scene_share, train.share_by_place, config.seed)
    fitted_on = count_levels(labelled.source(dataset), feature)
    if fitted_on[1].any():
        threshold, above = fit_threshold(fitted_on)
        side = ">=" if above else "<"
        rule = f"{feature_name(task.name)} {side} {threshold} of {NUM_LEVELS} levels"
        scores[rule] = metrics.summary(confusion_of_threshold(counts, threshold, above), classes)
    else:
        print("no threshold: train holds no foreground to fit it on")
    if not counts[1].any():
        print(f"{split} holds no foreground: its F1 and IoU are not defined")
    result = {"protocol": dataset.protocol(split), "scores": scores}
    folder = workdir / "report"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"baselines_{split}.json").write_text(strict_json.dumps(result, indent=2) + "\n")
    print(f"protocol: {result['protocol']}")
    for name, values in scores.items():
        f1 = values["f1/foreground"]
        iou = math.nan if math.isnan(f1) else values["iou/foreground"]
        print(f"{name}: foreground F1 {percent_with_sign(f1)}, IoU {percent_with_sign(iou)}")
    return result


def feature_name(task: str) -> str:
    """Return the name of the feature that the threshold applies to."""
    return FEATURES[task].__name__


def _levels(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    low, high = limits
    levels = np.round((values - low) / (high - low) * (NUM_LEVELS - 1))
    return np.clip(levels, 0, NUM_LEVELS - 1).astype(np.int64)
