"""The program `--mode=eval`: scores and pictures of a finished run on one split."""

import math
import pathlib
import re
from collections.abc import Collection, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.data.dataset import record_id
from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.evaluator import (
    DenoisingEvaluation,
    Evaluation,
    MapEvaluation,
    create_evaluator,
)
from noise2map_jax.evaluation.number_text import number
from noise2map_jax.evaluation.predictions import predict_spread, save_predictions
from noise2map_jax.evaluation.threshold import HistogramEvaluator
from noise2map_jax.experiment.agreement import agreed, facts_of
from noise2map_jax.experiment.config_fields import Changes, describe
from noise2map_jax.experiment.experiment import Experiment, Objective, create_experiment
from noise2map_jax.experiment.network_choice import sees_noise
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.experiment.run_config import evaluated_config, rebuilt
from noise2map_jax.progress import progress_bar
from noise2map_jax.steps.histogram_step import NUM_BINS
from noise2map_jax.study import openings
from noise2map_jax.training.samples import save_samples


def evaluate(
    config: ConfigDict, workdir: pathlib.Path, deliberate: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Evaluate the best checkpoint of a run on `config.eval.split`: the program `--mode=eval`.

    A run is evaluated as it was trained; only `eval`, `mesh` and the data are taken from `config`.

    Writes `report/scores_<split>.json`, `report/threshold.json` and `report/predictions.png` (in a
    run of several tasks `scores_<split>_<task>.json` and so on; for a denoising task
    `report/samples.png`), and prints the scores.

    Args:
        config: the run's config, or one that differs only in these fields.
        workdir: the run's work folder.
        deliberate: fields given one by one, which may include `noise.inference_timesteps`.

    Returns:
        By task, the content of `scores_<split>.json`: the protocol, and groups of scores.

    Raises:
        UserError: there is no trained run, or the config differs in other fields.
    """
    opened = agreed(
        lambda: _open(config, workdir, deliberate),
        lambda opened: facts_of(opened[0], workdir, "eval"),
    )
    experiment, changed = opened
    config, split = experiment.config, experiment.config.eval.split
    step, params = restore_best(workdir, config, experiment.model, experiment.mesh)
    if split == "test" and jax.process_index() == 0:
        openings.note_member(workdir)
    results = {}
    for name, objective in experiment.objectives.items():
        evaluator = create_evaluator(objective, experiment.mesh, split)
        num_tiles = objective.dataset.num_records(split)
        with progress_bar(num_tiles, f"eval {name} {split}", "tiles") as bar:
            evaluation = evaluator(params, objective.process, bar.update)
        results[name] = {
            "protocol": objective.protocol(split),
            "dataset": objective.dataset.name,
            "records": objective.dataset.digest,
            "split": split,
            "num_records": objective.dataset.num_records(split),
            "step": step,
            "inference_timesteps": np.asarray(objective.process.inference_timesteps).tolist(),
            "num_noise_draws": objective.num_noise_draws,
            "differs_from_training": _of_task(changed, name),
            "scores": grouped_summary(objective, split, evaluation),
        }
        threshold = find_threshold(experiment, name, step, params)
        if jax.process_index() != 0:
            continue
        folder = workdir / "report"
        folder.mkdir(parents=True, exist_ok=True)
        scores_path = folder / experiment.file_name(f"scores_{split}.json", name)
        scores_path.write_text(strict_json.dumps(results[name], indent=2) + "\n")
        if isinstance(evaluation, MapEvaluation):
            classes, noised = tuple(objective.config.data.classes), sees_noise(objective.config)
            print(format_scores(results[name], classes, noised=noised))
            if threshold:
                path = folder / experiment.file_name("threshold.json", name)
                path.write_text(strict_json.dumps(threshold, indent=2) + "\n")
                print(format_threshold(threshold))
            if rows := predict_spread(objective, split, evaluation, params):
                picture = folder / experiment.file_name("predictions.png", name)
                save_predictions(objective, split, evaluation, rows, picture)
                print(f"pictures: {picture}")
        else:
            print(format_losses(results[name], evaluation))
            if objective.config.eval.num_samples:
                picture = folder / experiment.file_name("samples.png", name)
                save_samples(objective, params, picture)
                print(f"samples: {picture}")
    return results


def find_threshold(
    experiment: Experiment, task: str, step: int, params: Any
) -> dict[str, Any] | None:
    """Find the threshold of the foreground probability that is best on validation.

    Args:
        experiment: the run.
        task: the task.
        step: the step of the parameters.
        params: the parameters.

    Returns:
        The content of `threshold.json`; None for a task without classes, and where validation has
        no foreground or does not exist.
    """
    objective = experiment.objectives[task]
    if not objective.task.has_classes or "val" not in objective.dataset.splits:
        return None
    evaluator = HistogramEvaluator(objective, experiment.mesh, "val")
    num_tiles = objective.dataset.num_records("val")
    with progress_bar(num_tiles, f"threshold {task} val", "tiles") as bar:
        histogram = evaluator(params, objective.process, bar.update)
    threshold, f1 = histogram.best()
    if math.isnan(threshold):
        return None
    return {
        "threshold": threshold,
        "f1": f1,
        "f1_at_half": float(histogram.f1()[NUM_BINS // 2]),
        "split": "val",
        "protocol": objective.protocol("val"),
        "records": objective.dataset.digest,
        "step": step,
        "inference_timesteps": np.asarray(objective.process.inference_timesteps).tolist(),
    }


def format_threshold(found: dict[str, Any]) -> str:
    """Say what the threshold gives, in a line for people."""
    return (
        f"best threshold on validation: {found['threshold']:.3f}, F1 {100 * found['f1']:.2f} % (at"
        f" 0.5: {100 * found['f1_at_half']:.2f} %); maps take it with --threshold=best"
    )


def _open(
    config: ConfigDict, workdir: pathlib.Path, deliberate: Collection[str]
) -> tuple[Experiment, Changes]:
    """Make a run's experiment; also return the fields that differ from training."""
    config, changed = evaluated_config(workdir, config, deliberate)
    experiment = create_experiment(config)
    for task in rebuilt(workdir, experiment.digests):
        name = f"tasks.{task}.data.dataset" if config.tasks else "data.dataset"
        dataset = experiment.objectives[task].dataset.name
        changed.setdefault(name, (f"{dataset} of training", f"{dataset}, built anew"))
    return experiment, changed


def _of_task(changed: Changes, task: str) -> Changes:
    others = {k for k in changed if k.startswith("tasks.") and not k.startswith(f"tasks.{task}.")}
    return {name: values for name, values in changed.items() if name not in others}


def grouped_summary(
    objective: Objective, split: str, evaluation: Evaluation
) -> dict[str, dict[str, float]]:
    """Compute scores over all tiles, for pairs over tiles with change, and by group of ids.

    Args:
        objective: the task, whose `eval.group_regex` groups ids.
        split: the evaluated split.
        evaluation: the counts.

    Returns:
        Scores by the name of the group of tiles; each also has the number of `tiles`.
    """
    if isinstance(evaluation, DenoisingEvaluation):
        summary = {"loss": evaluation.loss, **evaluation.summary()}
        return {"all tiles": {"tiles": len(evaluation.errors), **summary}}
    chosen: dict[str, np.ndarray] = {"all tiles": np.ones(len(evaluation.confusions), bool)}
    if len(objective.task.image_keys) > 1:
        first = objective.dataset.first_change_class
        chosen["tiles with change"] = evaluation.has_class_from(first)
    if pattern := objective.config.eval.group_regex:
        chosen |= _groups(objective.dataset.source(split), pattern)
    return {
        name: {"tiles": int(rows.sum())} | evaluation.summary(rows)
        for name, rows in chosen.items()
        if rows.any()
    }


def _groups(source: Sequence[dict[str, Any]], pattern: str) -> dict[str, np.ndarray]:
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"eval.group_regex {pattern!r} is not a regular expression: {error}"
        ) from None
    if regex.groups < 1:
        raise UserError(f"eval.group_regex {pattern!r} has no group; write one in parentheses")
    names = []
    for record in source:
        match = regex.search(record_id(record))
        names.append(match.group(1) if match else "other")
    return {name: np.array([n == name for n in names]) for name in sorted(set(names))}


def format_scores(result: dict[str, Any], classes: tuple[str, ...], *, noised: bool = True) -> str:
    """Write scores as a table for people, with the data and the settings of prediction.

    Args:
        result: scores of a split, as in their file.
        classes: names of the classes.
        noised: whether the network sees noise, so that the timestep means something.
    """
    draws = result["num_noise_draws"]
    head = f"{'':34}" + "".join(f"{name:>11}" for name in ("F1", "IoU", "precision", "recall"))
    at = ", ".join(map(str, result["inference_timesteps"])) if noised else ""
    lines = [
        f"protocol: {result['protocol']}",
        f"checkpoint of step {result['step']}"
        + (f", predicted at t = {at}" if at else "")
        + (f", mean over {draws} draws of Gaussian noise" if draws else ""),
        *_not_as_trained(result),
    ]
    for group, scores in result["scores"].items():
        accuracy = number(100 * scores["accuracy"], ".2f")
        lines += [f"{group} ({scores['tiles']} tiles), accuracy {accuracy} %, in %:", head]
        for name in (*classes, "mean"):
            values = (scores[f"{m}/{name}"] for m in ("f1", "iou", "precision", "recall"))
            lines.append(f"  {name:32}" + "".join(f"{number(100 * v, '.2f'):>11}" for v in values))
        absent = [name for name in classes if math.isnan(scores[f"f1/{name}"])]
        if absent and len(absent) < len(classes):
            lines.append(f"  neither labelled nor predicted, so in no mean: {', '.join(absent)}")
        if math.isnan(scores["f1/foreground"]):
            lines.append("  these tiles hold no foreground: its F1 is not defined")
    return "\n".join(lines)


def format_losses(result: dict[str, Any], evaluation: DenoisingEvaluation) -> str:
    """Write denoising losses as a table for people."""
    rows = zip(evaluation.bands, evaluation.loss_by_band, evaluation.zero_by_band, strict=True)
    lines = [
        f"protocol: {result['protocol']}",
        f"checkpoint of step {result['step']}; mean squared error over values and t: "
        f"{evaluation.headline}",
        *_not_as_trained(result),
        f"{'timesteps':>12}{'loss':>12}{'of zero':>12}{'ratio':>10}",
    ]
    for (first, last), loss, zero in rows:
        lines.append(f"{f'{first}-{last}':>12}{loss:12.5f}{zero:12.5f}{loss / zero:10.4f}")
    return "\n".join(lines)


def _not_as_trained(result: dict[str, Any]) -> list[str]:
    changed = result["differs_from_training"]
    return [f"differs from training: {describe(changed)}"] if changed else []
