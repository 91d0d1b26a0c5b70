"""The program `--mode=eval`: scores and pictures of a finished run on one split."""

import math
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.buckets.names import shown
from noise2map_jax.data.dataset import record_id
from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.calibration import (
    CHOSEN_ON,
    PLAIN,
    Calibration,
    Choice,
    calibration,
    choose,
)
from noise2map_jax.evaluation.evaluator import (
    DenoisingEvaluation,
    Evaluation,
    MapEvaluation,
    create_evaluator,
)
from noise2map_jax.evaluation.name_groups import name_groups
from noise2map_jax.evaluation.number_text import number
from noise2map_jax.evaluation.predictions import predict_spread, save_predictions
from noise2map_jax.experiment.agreement import agreed, facts_of
from noise2map_jax.experiment.config_fields import Changes, describe
from noise2map_jax.experiment.experiment import Experiment, Objective, create_experiment
from noise2map_jax.experiment.network_choice import sees_noise
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.experiment.run_config import evaluated_config, rebuilt
from noise2map_jax.method.metrics import class_keys
from noise2map_jax.page.reliability_diagram import save_reliability
from noise2map_jax.progress import progress_bar
from noise2map_jax.study import openings
from noise2map_jax.training.samples import save_samples


def evaluate(
    config: ConfigDict, workdir: pathlib.Path, deliberate: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Evaluate the best checkpoint of a run on `config.eval.split`: the program `--mode=eval`.

    A run is evaluated as it was trained; only `eval`, `mesh` and the data are taken from `config`.

    Writes `report/scores_<split>.json`, `report/threshold.json` (with the temperature),
    `report/reliability_<split>.png` and `report/predictions.png` (in a
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
    if any(objective.problem.temperature != PLAIN for objective in experiment.objectives.values()):
        raise UserError("eval.temperature is set, but evaluation finds it itself; leave it out")
    step, params = restore_best(workdir, config, experiment.model, experiment.mesh)
    if split == "test" and jax.process_index() == 0:
        openings.note_member(workdir)
    results = {}
    for name, objective in experiment.objectives.items():
        choice = choose(objective, experiment.mesh, params)
        evaluation = _evaluate(objective, experiment.mesh, split, params, choice)
        results[name] = {
            **_origin(objective, split, step),
            "dataset": objective.dataset.name,
            "num_records": objective.dataset.num_records(split),
            "num_noise_draws": objective.num_noise_draws,
            "differs_from_training": _of_task(changed, name),
            "scores": grouped_summary(objective, split, evaluation),
        }
        calibrations = _calibrations(evaluation)
        if calibrations:
            results[name]["calibration"] = [found.summary() for found in calibrations]
        if choice and isinstance(evaluation, MapEvaluation):
            results[name]["f1_at_threshold_of_validation"] = choice.f1_on(evaluation)
        if jax.process_index() != 0:
            continue
        folder = workdir / "report"
        folder.mkdir(parents=True, exist_ok=True)
        scores_path = folder / experiment.file_name(f"scores_{split}.json", name)
        scores_path.write_text(strict_json.dumps(results[name], indent=2) + "\n")
        if isinstance(evaluation, MapEvaluation):
            classes, noised = tuple(objective.config.data.classes), sees_noise(objective.config)
            print(format_scores(results[name], classes, noised=noised))
            if calibrations:
                print(format_calibrations(calibrations))
                picture = folder / experiment.file_name(f"reliability_{split}.png", name)
                curves = {_name(found): found.reliability.curve for found in calibrations}
                save_reliability(curves, objective.protocol(split), picture)
                print(f"reliability: {shown(picture)}")
            if choice:
                path = folder / experiment.file_name("threshold.json", name)
                content = choice.content() | _origin(objective, CHOSEN_ON, step)
                path.write_text(strict_json.dumps(content, indent=2) + "\n")
                print(choice.in_words())
                if split != CHOSEN_ON:
                    f1 = number(100 * choice.f1_on(evaluation), ".2f")
                    print(f"foreground F1 on {split} at this threshold, in %: {f1}")
            if rows := predict_spread(objective, split, evaluation, params):
                picture = folder / experiment.file_name("predictions.png", name)
                save_predictions(objective, split, evaluation, rows, picture)
                print(f"pictures: {shown(picture)}")
        else:
            print(format_losses(results[name], evaluation))
            if objective.config.eval.num_samples:
                picture = folder / experiment.file_name("samples.png", name)
                save_samples(objective, params, picture)
                print(f"samples: {shown(picture)}")
    return results


def _evaluate(
    objective: Objective, mesh: Mesh, split: str, params: Any, choice: Choice | None
) -> Evaluation:
    """Evaluate a split; of maps, probabilities are counted as they are and at the chosen T."""
    if choice and split == CHOSEN_ON:
        return choice.evaluation
    temperatures = (PLAIN, *([choice.temperature] if choice else []))
    evaluator = create_evaluator(objective, mesh, split, temperatures)
    num_tiles = objective.dataset.num_records(split)
    with progress_bar(num_tiles, f"eval {objective.task.name} {split}", "tiles") as bar:
        return evaluator(params, objective.process, bar.update)


def _calibrations(evaluation: Evaluation) -> list[Calibration]:
    if isinstance(evaluation, DenoisingEvaluation):
        return []
    found = (calibration(t, counts) for t, counts in evaluation.probabilities.items())
    return [one for one in found if one]


def _origin(objective: Objective, split: str, step: int) -> dict[str, Any]:
    """Return where numbers come from, for a file of JSON."""
    return {
        "split": split,
        "protocol": objective.protocol(split),
        "records": objective.dataset.digest,
        "step": step,
        "inference_timesteps": np.asarray(objective.process.inference_timesteps).tolist(),
    }


def format_calibrations(calibrations: Sequence[Calibration]) -> str:
    """Write how good probabilities are as a table for people."""
    lines = [f"{'probabilities':34}{'Brier':>11}{'log loss':>11}{'ECE in %':>11}"]
    for found in calibrations:
        error = 100 * found.reliability.error
        lines.append(f"  {_name(found):32}{found.brier:11.4f}{found.log_loss:11.4f}{error:11.2f}")
    return "\n".join(lines)


def _name(found: Calibration) -> str:
    return "as predicted" if found.temperature == PLAIN else f"at T = {found.temperature:.3f}"


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
    names = name_groups([record_id(one) for one in source], pattern, "eval.group_regex")
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
        for name in (*class_keys(classes), "mean"):
            values = (scores[f"{m}/{name}"] for m in ("f1", "iou", "precision", "recall"))
            lines.append(f"  {name:32}" + "".join(f"{number(100 * v, '.2f'):>11}" for v in values))
        absent = [name for name in class_keys(classes) if math.isnan(scores[f"f1/{name}"])]
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
