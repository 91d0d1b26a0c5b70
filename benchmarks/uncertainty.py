"""Asks whether a map's uncertainty tells where it is wrong: risk-coverage curves.

All pixels of a split are ordered by an uncertainty, the surest first. The risk at coverage c is the
share of wrong pixels among the first c of them (Geifman, El-Yaniv 2017, "Selective Classification
for Deep Neural Networks"). A good uncertainty puts the wrong pixels last. What is judged is always
the map of a single pass, so that all uncertainties order the same right and wrong pixels.
"""

import argparse
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from noise2map_jax.evaluation.evaluator import SplitReader
from noise2map_jax.experiment.components import create_process, predicting_at
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.method.noise import noise_draws
from noise2map_jax.steps.eval_step import predict_step
from noise2map_jax.steps.symmetric_prediction import symmetric_predict_step

COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--workdirs", nargs="+", required=True, help="finished runs")
    parser.add_argument("--data_dir", default="", help="folder of the datasets; empty = the runs'")
    parser.add_argument("--split", default="val")
    parser.add_argument(
        "--timesteps",
        type=int,
        nargs="+",
        default=(499, 624, 749, 874, 999),
        help="timesteps whose predictions are spread over",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the result."""
    rows = [_of_run(pathlib.Path(workdir), arguments) for workdir in arguments.workdirs]
    result = {
        "machine": machine.describe(),
        "command": "python -m benchmarks uncertainty",
        "split": arguments.split,
        "timesteps": list(arguments.timesteps),
        "runs": rows,
    }
    machine.report(result, arguments.output)


def _of_run(workdir: pathlib.Path, arguments: argparse.Namespace) -> dict[str, Any]:
    config = load_config(workdir)
    if arguments.data_dir:
        config.data.data_dir = arguments.data_dir
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    _, params = restore_best(workdir, config, experiment.model, experiment.mesh)
    # One pass; the same in eight symmetries; the same at several timesteps.
    once, many = config, predicting_at(config, tuple(arguments.timesteps))
    programs = {
        name: jax.jit(
            functools.partial(
                step,
                process=create_process(view),
                draws=noise_draws(create_process(view), config.eval.num_noise_draws),
                problem=objective.problem,
            )
        )
        for name, step, view in (
            ("one pass", predict_step, once),
            ("symmetries", symmetric_predict_step, once),
            ("timesteps", predict_step, many),
        )
    }
    wrong: list[np.ndarray] = []
    uncertainties: dict[str, list[np.ndarray]] = {}
    for batch in SplitReader(objective, experiment.mesh, arguments.split).batches():
        found = {name: jax.device_get(step(params, batch)) for name, step in programs.items()}
        labels = np.asarray(batch["mask"])[..., 0]
        counted = (labels < objective.problem.num_classes) & np.asarray(batch["valid"])[
            :, None, None
        ]
        map_of_one_pass = found["one pass"].probabilities.argmax(axis=-1)
        wrong.append((map_of_one_pass != labels)[counted])
        measures = {
            "probability of one pass": 1 - found["one pass"].probabilities.max(axis=-1),
            "probability over symmetries": _against(found["symmetries"], map_of_one_pass),
            "probability over timesteps": _against(found["timesteps"], map_of_one_pass),
            "spread over symmetries": found["symmetries"].uncertainty,
            "spread over timesteps": found["timesteps"].uncertainty,
        }
        for name, values in measures.items():
            uncertainties.setdefault(name, []).append(values[counted])
    mistakes = np.concatenate(wrong)
    curves = {
        name: summary(np.concatenate(values), mistakes) for name, values in uncertainties.items()
    }
    return {
        "dataset": config.data.dataset,
        "seed": config.seed,
        "pixels": len(mistakes),
        "wrong": float(mistakes.mean()),
        "uncertainties": curves,
    }


def _against(prediction: Any, chosen: np.ndarray) -> np.ndarray:
    """Return the probability that is left to the classes that the map does not show."""
    shown = np.take_along_axis(prediction.probabilities, chosen[..., None], axis=-1)
    return 1 - shown[..., 0]


def risk_coverage(uncertainty: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of wrong pixels among the surest, as more and more are taken.

    Pixels of one uncertainty come together, as a mixture of them.

    Args:
        uncertainty: [N] float.
        wrong: [N] bool.

    Returns:
        Coverage [N] from 1 / N to 1, and the risk [N] at each.
    """
    order = np.argsort(uncertainty, kind="stable")
    _, first, counts = np.unique(uncertainty[order], return_index=True, return_counts=True)
    of_group = np.add.reduceat(wrong[order].astype(np.float64), first) / counts
    taken = np.arange(1, len(wrong) + 1)
    return taken / len(wrong), np.cumsum(np.repeat(of_group, counts)) / taken


def summary(uncertainty: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Sum up a curve.

    Args:
        uncertainty: [N] float.
        wrong: [N] bool.

    Returns:
        The area under the curve; the share of what an order could gain over none that this one
        gains: 1 = all wrong pixels come last, 0 = as good as chance; the risk at some coverages.
    """
    coverage, risk = risk_coverage(uncertainty, wrong)
    _, best = risk_coverage(wrong.astype(np.float64), wrong)
    chance = float(wrong.mean())
    possible = chance - float(best.mean())
    return {
        "area": float(risk.mean()),
        "gain": (chance - float(risk.mean())) / possible if possible else None,
        "risk": {
            f"{share:g}": float(risk[max(0, round(share * len(coverage)) - 1)])
            for share in COVERAGES
        },
    }
