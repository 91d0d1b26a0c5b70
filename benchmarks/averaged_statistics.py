"""Compares averaged running statistics with recomputed ones, for averaged weights of rivals.

Batch normalisation of averaged weights needs statistics of its own. Training averages the running
statistics with the weights; the other way is to measure them anew: the mean of the statistics of so
many training batches under the averaged weights (Izmailov et al. 2018, stochastic weight
averaging). Both are scored on validation.
"""

import argparse
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import machine
from noise2map_jax.data.input_pipeline import train_batches
from noise2map_jax.evaluation.evaluator import MapEvaluator
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.network.statistics import STATISTICS, with_statistics
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.training import Training
from noise2map_jax.steps.train_step import network_inputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--workdirs", nargs="+", required=True, help="finished runs of rivals with train.ema_decay"
    )
    parser.add_argument("--num_batches", type=int, default=100, help="that are measured")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the result."""
    rows = [_of_run(pathlib.Path(w), arguments.num_batches) for w in arguments.workdirs]
    result = {
        "machine": machine.describe(),
        "command": "python -m benchmarks averaged_statistics",
        "num_batches": arguments.num_batches,
        "runs": rows,
    }
    machine.report(result, arguments.output)


def _of_run(workdir: pathlib.Path, num_batches: int) -> dict[str, Any]:
    config = load_config(workdir)
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    step, params = restore_best(workdir, config, experiment.model, experiment.mesh)
    evaluator = MapEvaluator(objective, experiment.mesh, "val")
    new = recomputed(params, objective, num_batches)
    found = {"averaged": params, "recomputed": new}
    scores = {name: evaluator(tree, objective.process).score for name, tree in found.items()}
    return {
        "network": config.model.name,
        "dataset": config.data.dataset,
        "ema_decay": config.train.ema_decay,
        "step": step,
        "foreground_f1": scores,
    }


def recomputed(params: Any, objective: Any, num_batches: int) -> Any:
    """Return parameters with the mean statistics of training batches under them."""
    config, problem = objective.config, objective.problem
    size = config.train.batch_size
    batches = train_batches(
        objective.dataset.source("train"),
        objective.task.record_keys,
        seed=config.seed,
        batch_size=size,
        rows=range(size),
    )

    @jax.jit
    def of_batch(batch: Any, key: jax.Array) -> Any:
        x_t, timesteps, _, seeds = network_inputs(batch, objective.process, key, problem=problem)
        training = Training(jax.vmap(jax.random.key)(seeds))
        _, moved = problem.apply_in_training(objective.process, params, x_t, timesteps, training)
        # Running statistics have moved by the momentum towards those of the batch.
        old = params[STATISTICS]
        return jax.tree.map(lambda m, o: (m - o) / BatchNorm.momentum + o, moved, old)

    total = None
    for number, batch in zip(range(num_batches), batches, strict=False):
        found = of_batch(batch, jax.random.fold_in(jax.random.key(config.seed), number))
        total = found if total is None else jax.tree.map(jnp.add, total, found)
    mean = jax.tree.map(functools.partial(jnp.multiply, 1 / num_batches), total)
    return with_statistics(params, mean)
