"""The program `--mode=eval`: the scores and pictures of a finished run on one split."""

import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from noise2map_jax.dataset import record_id
from noise2map_jax.errors import UserError
from noise2map_jax.evaluator import Evaluation, Evaluator
from noise2map_jax.experiment import Experiment, create_experiment
from noise2map_jax.predictions import save_predictions
from noise2map_jax.progress import progress_bar
from noise2map_jax.run import differences_in_prediction, load_config, restore_best


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Evaluate the best checkpoint of a run on `config.eval.split`: the program `--mode=eval`.

    Writes `report/scores_<split>.json` and `report/predictions.png`, and prints the scores.

    Returns:
        What `scores_<split>.json` holds: `protocol`, `step` and groups of scores.
    """
    trained = load_config(workdir)
    experiment, split = create_experiment(config), config.eval.split
    step, params = restore_best(workdir, config, experiment.problem.model, experiment.mesh)
    changed = differences_in_prediction(trained, config)

    evaluator = Evaluator(experiment, split)
    with progress_bar(experiment.dataset.num_records(split), f"eval {split}") as bar:
        evaluation = evaluator(params, bar.update)
    result = {
        "protocol": experiment.dataset.protocol(split),
        "step": step,
        "inference_timestep": int(experiment.process.inference_timestep),
        "differs_from_training": changed,
        "scores": grouped_summary(experiment, split, evaluation),
    }
    if jax.process_index() == 0:
        folder = workdir / "report"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"scores_{split}.json").write_text(json.dumps(result, indent=2) + "\n")
        save_predictions(experiment, split, evaluation, params, folder / "predictions.png")
        print(format_scores(result, tuple(config.data.classes)))
        print(f"pictures: {folder / 'predictions.png'}")
    return result


def grouped_summary(
    experiment: Experiment, split: str, evaluation: Evaluation
) -> dict[str, dict[str, float]]:
    """Scores over all tiles, for CD over those with change, and by group of ids where asked for.

    Args:
        experiment: its config says how ids are grouped.
        split: what was evaluated.
        evaluation: the counts.

    Returns:
        Scores by the name of the group of tiles; each also says its number of `tiles`.
    """
    chosen: dict[str, np.ndarray] = {"all tiles": np.ones(len(evaluation.confusions), bool)}
    if experiment.problem.task.name == "cd":
        first = experiment.dataset.first_change_class
        chosen["tiles with change"] = evaluation.has_class_from(first)
    if pattern := experiment.config.eval.group_regex:
        chosen |= _groups(experiment.dataset.source(split), pattern)
    return {
        name: {"tiles": int(rows.sum())} | evaluation.summary(rows)
        for name, rows in chosen.items()
        if rows.any()
    }


def _groups(source: Sequence[dict[str, Any]], pattern: str) -> dict[str, np.ndarray]:
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise UserError(f"eval.group_regex {pattern!r} is no regular expression: {error}") from None
    if regex.groups < 1:
        raise UserError(f"eval.group_regex {pattern!r} has no group; write one in parentheses")
    names = []
    for record in source:
        match = regex.search(record_id(record))
        names.append(match.group(1) if match else "other")
    return {name: np.array([n == name for n in names]) for name in sorted(set(names))}


def format_scores(result: dict[str, Any], classes: tuple[str, ...]) -> str:
    """Write scores as a table for people, labelled with what they were measured on."""
    head = f"{'':34}" + "".join(f"{name:>11}" for name in ("F1", "IoU", "precision", "recall"))
    lines = [
        f"protocol: {result['protocol']}",
        f"checkpoint of step {result['step']}, predicted at t = {result['inference_timestep']}",
    ]
    if result["differs_from_training"]:
        lines.append(f"not as trained: {', '.join(result['differs_from_training'])}")
    for group, scores in result["scores"].items():
        accuracy = 100 * scores["accuracy"]
        lines += [f"{group} ({scores['tiles']} tiles), accuracy {accuracy:.2f} %, in %:", head]
        for name in (*classes, "mean"):
            values = (scores[f"{m}/{name}"] for m in ("f1", "iou", "precision", "recall"))
            lines.append(f"  {name:32}" + "".join(f"{100 * v:11.2f}" for v in values))
    return "\n".join(lines)
