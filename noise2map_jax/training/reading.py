"""The batches that training reads: of each task, in an order that follows from the seed."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from noise2map_jax.data.input_pipeline import train_batches
from noise2map_jax.devices.execution import HostBatch
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.method.tasks import Task


def read_batches(
    objectives: Mapping[str, Objective],
    seeds: Collection[int],
    *,
    batch_size: int,
    rows: list[int],
    first_step: int,
) -> Iterator[dict[int, HostBatch]]:
    """Read the batches of all tasks, without end.

    Args:
        objectives: the tasks.
        seeds: seeds of the networks in training; networks with the same seed share their batches.
        batch_size: rows of a global batch.
        rows: numbers of the rows that this process reads.
        first_step: the step whose batch comes first.

    Yields:
        By seed, the batch of each task.
    """
    streams = {
        seed: {
            name: train_batches(
                objective.train_source(seed),
                objective.task.record_keys,
                seed=order_seed(seed, objective.task),
                batch_size=batch_size,
                rows=rows,
                places=_places(objective, seed),
                place_power=objective.config.train.place_power,
                first_step=first_step,
                num_threads=objective.config.data.num_threads,
                prefetch_size=objective.config.data.prefetch_size,
            )
            for name, objective in objectives.items()
        }
        for seed in set(seeds)
    }
    while True:
        yield {
            seed: {name: next(stream) for name, stream in own.items()}
            for seed, own in streams.items()
        }


def _places(objective: Objective, seed: int) -> list[str]:
    """Return the place of each record where it counts."""
    return [] if objective.config.train.place_power == 1 else objective.train_places(seed)


def order_seed(seed: int, task: Task) -> int:
    """Return the seed for the order of a task's records; each task has its own."""
    return int(np.random.SeedSequence([seed, task.stream]).generate_state(1)[0])
