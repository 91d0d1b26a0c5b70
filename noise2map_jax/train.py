"""The program `--mode=train`: trains a network from a config, and resumes where it stopped."""

import contextlib
import pathlib

import jax
from ml_collections import ConfigDict

from noise2map_jax.buckets.names import shown
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
        workdir: the run's work folder; training resumes from a checkpoint in it.

    Raises:
        UserError: a field or a dataset is wrong, or differs from the start of the run.
        Preempted: a signal asked to stop; the state is saved.
        FloatingPointError: the loss or the gradient is not finite, and the update was not skipped;
            the last checkpoint stays.
    """
    if "study" in config:
        raise UserError("this config is a study of several networks: use --mode=ablate")
    experiment, changed = agreed(
        lambda: _open(config, workdir), lambda opened: facts_of(opened[0], workdir, "train")
    )
    run = Run(experiment, workdir)
    trainer = Trainer(experiment, create_execution("dispatch", 1, config.mesh.fsdp))
    start = agreed(
        lambda: trainer.start([run], workdir),
        lambda start: {"the SHA-256 of init_from": start.digests[0]},
    )
    if start.step > trainer.num_steps:
        raise UserError(
            f"{workdir} was trained for {start.step} steps, more than the {trainer.num_steps} of "
            "train.num_steps or num_epochs; ask for at least as many, or start a new run with "
            "another --workdir"
        )
    if jax.process_index() == 0:
        asked = config.train.warmup_steps
        print(start_summary(run, start, trainer.num_steps, changed, asked), flush=True)
    (failure,) = trainer.train([run], workdir, start)
    if failure:
        raise FloatingPointError(f"{failure}, and run again: the last checkpoint is kept")
    finish(run, trainer.validation, trainer.num_steps)


def _open(config: ConfigDict, workdir: pathlib.Path) -> tuple[Experiment, Changes]:
    """Make a run's experiment; also return the fields that changed since an earlier start."""
    if not (workdir / CONFIG).is_file():
        if any((workdir / "checkpoints").glob("*/[0-9]*")):
            raise UserError(
                f"{workdir} holds checkpoints but no {CONFIG}, so their config is unknown; restore "
                "the file, or start a new run with another --workdir"
            )
        return create_experiment(config), {}
    experiment = create_experiment(config, load_config(workdir))
    return experiment, check_going_on(workdir, experiment.config, experiment.digests)


def finish(run: Run, validation: Validation | None, last_step: int) -> None:
    """Score the best network on the validation split, print the scores, write the report."""
    if validation is None:
        if jax.process_index() == 0:
            print(
                f"the parameters of step {last_step} are kept; nothing was validated, so there is "
                f"no report. Score them with --workdir={shown(run.workdir)} --mode=eval"
            )
        return
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
        if result.choice:
            print(result.choice)
        for path in written:
            print(f"report: {shown(path)}")
