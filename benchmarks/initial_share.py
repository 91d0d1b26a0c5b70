"""Scores mixtures of trained and initial weights: which `train.initial_share` is best.

Takes finished runs that began with `init_from`, with any share or none, and mixes the weights of
their last step. Scored is validation, on which the share is to be chosen.
"""

import argparse
import pathlib
from typing import Any

from flax import traverse_util

from benchmarks import machine
from noise2map_jax.devices.execution import create_execution
from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.evaluator import MapEvaluator
from noise2map_jax.experiment.experiment import Experiment, create_experiment
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.steps.train_state import InitialParams, initial_share
from noise2map_jax.training.trainer import Run, Trainer
from noise2map_jax.weights.initialization import initialize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--workdirs", nargs="+", required=True, help="finished runs")
    parser.add_argument(
        "--shares", nargs="+", type=float, default=[0, 0.2, 0.3, 0.4, 0.5, 0.7, 1], help="in [0, 1]"
    )
    parser.add_argument("--data_dir", default="", help="other than that of the runs")


def run(arguments: argparse.Namespace) -> None:
    """Score, and print the result.

    Raises:
        UserError: a share is not in [0, 1], or a run has no initial weights or has not ended.
    """
    if wrong := [share for share in arguments.shares if not 0 <= share <= 1]:
        raise UserError(f"--shares has {wrong[0]}; expected numbers from 0 to 1")
    workdirs = [pathlib.Path(workdir) for workdir in arguments.workdirs]
    rows = [_of_run(workdir, arguments.shares, arguments.data_dir) for workdir in workdirs]
    result = {
        "machine": machine.describe(),
        "command": f"python -m benchmarks initial_share --shares {_listed(arguments.shares)} "
        f"--workdirs {_listed(workdir.name for workdir in workdirs)}",
        "mean_foreground_f1": {
            share: sum(row["foreground_f1"][share] for row in rows) / len(rows)
            for share in rows[0]["foreground_f1"]
        },
        "runs": rows,
    }
    machine.report(result, arguments.output)


def _of_run(workdir: pathlib.Path, shares: list[float], data_dir: str) -> dict[str, Any]:
    config = load_config(workdir)
    if not config.init_from:
        raise UserError(f"{workdir} began with random values: it has no initial weights to mix in")
    if data_dir:
        config.data.data_dir = data_dir
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    evaluate = MapEvaluator(objective, experiment.mesh, "val")
    step, trained, initial, drawn = _weights(experiment, workdir)
    scores = {}
    for share in shares:
        shares_of_tensors = initial_share(initial, share, drawn)
        mixed = InitialParams(initial, shares_of_tensors).mixed_into(trained)
        scores[f"{share:g}"] = evaluate(mixed, objective.process).score
    return {
        "seed": config.seed,
        "dataset": config.data.dataset,
        "init_from": pathlib.Path(config.init_from).name,
        "scene_share": config.train.scene_share,
        "step": step,
        "random_tensors": len(drawn),
        "foreground_f1": scores,
    }


def _weights(
    experiment: Experiment, workdir: pathlib.Path
) -> tuple[int, Any, Any, tuple[str, ...]]:
    """Return the last step, its weights without a mixture, the initial ones, which were drawn.

    A run that mixed a share holds the initial weights; else they are read from `init_from` again.
    """
    trainer = Trainer(experiment, create_execution("dispatch", 1, experiment.config.mesh.fsdp))
    start = trainer.start([Run(experiment, workdir)], workdir)
    if start.step != trainer.num_steps:
        raise UserError(f"{workdir} ended at step {start.step} of {trainer.num_steps}: train on")
    trained = trainer.execution.member(start.state.replace(initial=None).eval_params, 0)
    if experiment.config.train.initial_share:
        held = trainer.execution.member(start.state.initial, 0)
        shares = traverse_util.flatten_dict(held.share, sep="/")
        return start.step, trained, held.params, tuple(n for n, s in shares.items() if not s)
    initial = initialize(experiment, trained)
    return start.step, trained, initial.params, initial.drawn


def _listed(values: Any) -> str:
    return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
