"""The program `--mode=train`: from a config to a trained network, resuming where it stopped."""

import contextlib
import pathlib

import jax
from ml_collections import ConfigDict

from noise2map_jax.devices.execution import create_execution
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.agreement import agreed, facts_of
from noise2map_jax.experiment.config_fields import Changes
from noise2map_jax.experiment.experiment import Experiment, create_experiment
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.experiment.run_config import CONFIG, check_going_on, load_config
from noise2map_jax.training.start_summary import start_summary
from noise2map_jax.training.trainer import Run, Trainer
from noise2map_jax.training.validation import Validation
from noise2map_jax.training.writer import MetricWriter


def train(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Train, evaluate on the validation split, keep the newest and the best checkpoint.

    Args:
        config: the experiment.
        workdir: where the run lives; a checkpoint found there is gone on from.

    Raises:
        UserError: a field or a dataset that is wrong, or other than the run was started with.
        Preempted: asked to stop by a signal; the state is saved.
        FloatingPointError: the loss or the gradient is not finite, and the update was not skipped;
            the last checkpoint stays.
    """
    if "study" in config:
        raise UserError("this config is a study, of several networks: use --mode=ablate")
    experiment, changed = agreed(
        lambda: _open(config, workdir), lambda opened: facts_of(opened[0], workdir, "train")
    )
    run = Run(experiment, workdir)
    trainer = Trainer(experiment, create_execution("dispatch", 1, config.mesh.fsdp))
    start = agreed(
        lambda: trainer.start([run], workdir),
        lambda start: {"the SHA-256 of what init_from holds": start.digests[0]},
    )
    if start.step > trainer.num_steps:
        raise UserError(
            f"{workdir} was trained for {start.step} steps, more than the {trainer.num_steps} that "
            "train.num_steps or num_epochs ask for; ask for as many at least, or start a new run "
            "with another --workdir"
        )
    if jax.process_index() == 0:
        print(start_summary(run, start, trainer.num_steps, changed), flush=True)
    (failure,) = trainer.train([run], workdir, start)
    if failure:
        raise FloatingPointError(f"{failure}, and run again: the last checkpoint is kept")
    finish(run, trainer.validation, trainer.num_steps)


def _open(config: ConfigDict, workdir: pathlib.Path) -> tuple[Experiment, Changes]:
    """Make a run's experiment, and say what has changed since it was started, if it was."""
    if not (workdir / CONFIG).is_file():
        if any((workdir / "checkpoints").glob("*/[0-9]*")):
            raise UserError(
                f"{workdir} holds checkpoints but no {CONFIG}, so nobody knows of what; bring it "
                "back, or start a new run with another --workdir"
            )
        return create_experiment(config), {}
    experiment = create_experiment(config, load_config(workdir))
    return experiment, check_going_on(workdir, experiment.config, experiment.digests)


def finish(run: Run, validation: Validation, last_step: int) -> None:
    """Score the best network on the validation split, draw its predictions, and tell."""
    experiment, written = run.experiment, []
    step, params = restore_best(run.workdir, experiment.config, experiment.model, experiment.mesh)
    result = validation(params, experiment)
    if jax.process_index() == 0:
        if experiment.config.train.write_report:
            from noise2map_jax.reports.report import write_report  # plots are slow to import

            with contextlib.closing(MetricWriter(run.workdir, first_step=last_step)) as writer:
                written = write_report(result, params, last_step, writer, run.workdir)
        for name, objective in experiment.objectives.items():
            headline = result.evaluations[name].headline
            print(f"best step {step}: {headline} on {objective.protocol('val')}")
        for path in written:
            print(f"report: {path}")
