"""The program `--mode=train`: from a config to a trained network, resuming where it stopped."""

import contextlib
import pathlib

import jax
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.execution import create_execution
from noise2map_jax.experiment import create_experiment
from noise2map_jax.run import load_config, restore_best
from noise2map_jax.start_summary import start_summary
from noise2map_jax.trainer import Run, Trainer
from noise2map_jax.validation import Validation
from noise2map_jax.writer import MetricWriter


def train(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Train, evaluate on the validation split, keep the newest and the best checkpoint.

    Args:
        config: the experiment.
        workdir: where the run lives; a checkpoint found there is gone on from.

    Raises:
        UserError: a field or a dataset that is wrong.
        Preempted: asked to stop by a signal; the state is saved.
        FloatingPointError: the loss or the gradient is not finite, and the update was not skipped;
            the last checkpoint stays.
    """
    if "study" in config:
        raise UserError("this config is a study, of several networks: use --mode=ablate")
    trained = load_config(workdir) if (workdir / "config.json").is_file() else None
    run = Run(create_experiment(config, trained), workdir)
    trainer = Trainer(run.experiment, create_execution("dispatch", 1, config.mesh.fsdp))
    start = trainer.start([run], workdir)
    if jax.process_index() == 0:
        print(start_summary(run, start, trainer.num_steps), flush=True)
    (failure,) = trainer.train([run], workdir, start)
    if failure:
        raise FloatingPointError(f"{failure}, and run again: the last checkpoint is kept")
    finish(run, trainer.validation, max(start.step, trainer.num_steps))


def finish(run: Run, validation: Validation, last_step: int) -> None:
    """Score the best network on the validation split, draw its predictions, and tell."""
    experiment, written = run.experiment, []
    step, params = restore_best(run.workdir, experiment.config, experiment.model, experiment.mesh)
    result = validation(params, experiment)
    if jax.process_index() == 0:
        if experiment.config.train.write_report:
            from noise2map_jax.run_report import write_report  # plots are slow to import

            with contextlib.closing(MetricWriter(run.workdir, first_step=last_step)) as writer:
                written = write_report(result, params, last_step, writer, run.workdir)
        for name, objective in experiment.objectives.items():
            headline = result.evaluations[name].headline
            print(f"best step {step}: {headline} on {objective.protocol('val')}")
        for path in written:
            print(f"report: {path}")
