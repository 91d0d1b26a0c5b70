"""A step of a study's members by each way of execution."""

import jax

from benchmarks.accelerator.datasets import config_for, dataset_of
from benchmarks.accelerator.job import Found, Job
from noise2map_jax.devices.execution import create_execution, possible_kinds
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.page.measurements import Column, Shown, Table
from noise2map_jax.study.execution_choice import measure as measure_executions
from noise2map_jax.training.trainer import Run, Trainer

WORDS = {
    "dispatch": "one after another, each over all devices",
    "vmap": "two a device, stacked in one call",
    "devices": "one a device, in one call",
}
NOTE = (
    "The training step of one network of a study, whose members differ in their seed: the time of "
    "a call over the number of networks in it. A study measures this at its start and takes the "
    "fastest."
)


def measure(job: Job) -> None:
    """Measure the ways that are still lacking."""
    config = config_for(job, dataset_of(job))
    runs = []
    for seed in range(job.size.members_a_device * jax.device_count()):
        config.seed = seed
        runs.append(Run(create_experiment(config.copy_and_resolve_references()), job.folder))
    seconds = job.found.setdefault("seconds_a_step", {})
    job.found["batch_size"] = size = config.train.batch_size

    def create(kind: str, number: int) -> Trainer:
        return Trainer(runs[0].experiment, create_execution(kind, number))

    for kind in possible_kinds(size, config.train.num_microbatches, len(runs)):
        if kind not in seconds:
            job.need(job.compiling("training"), f"the execution {kind}")
            seconds |= measure_executions([kind], runs, create)
            job.save()


def show(found: Found) -> Shown:
    """Show what was found."""
    columns = (
        Column("Execution", numeric=False),
        Column("How", numeric=False),
        Column("Milliseconds", "a step of a member"),
        Column("Images/s"),
    )
    rows = tuple(
        (kind, WORDS[kind], 1000 * seconds, found["batch_size"] / seconds)
        for kind, seconds in found.get("seconds_a_step", {}).items()
    )
    return Shown(NOTE, (Table("", columns, rows),))
