"""Measures the input pipeline: records/s a core, from ArrayRecord shards to batches on the host."""

import argparse
import itertools
import time
from typing import Any

from benchmarks import machine
from noise2map_jax.data.dataset import Dataset
from noise2map_jax.data.input_pipeline import train_batches
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.method.tasks import TASKS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_batches", type=int, default=50)
    parser.add_argument("--num_threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)


def run(arguments: argparse.Namespace) -> None:
    """Measure and report."""
    dataset = open_dataset(arguments.dataset, arguments.data_dir)
    size = arguments.batch_size, arguments.num_batches
    rows = [measure(dataset, *size, n, arguments.repeats) for n in arguments.num_threads]
    machine.report(
        {
            "benchmark": "input_pipeline",
            "machine": machine.describe(),
            "dataset": dataset.protocol("train"),
            "rows": rows,
        },
        arguments.output,
    )


def measure(
    dataset: Dataset, batch_size: int, num_batches: int, num_threads: int, repeats: int
) -> dict[str, Any]:
    """Time passes over some batches of the training split.

    Args:
        dataset: the records.
        batch_size: records of a batch.
        num_batches: batches of a timed pass.
        num_threads: threads that decode records.
        repeats: number of timed passes, after one to warm up.
    """
    source = dataset.source("train")
    keys = (*TASKS[dataset.manifest["task"]].image_keys, "mask")
    wall, cpu = [], []
    for repeat in range(repeats + 1):
        batches = train_batches(
            source,
            keys,
            seed=repeat,
            batch_size=batch_size,
            rows=range(batch_size),
            num_threads=num_threads,
        )
        next(batches)  # opens files and starts threads
        start, start_cpu = time.perf_counter(), time.process_time()
        for _ in itertools.islice(batches, num_batches):
            pass
        if repeat:  # the first pass warms the file cache
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    records = batch_size * num_batches
    timing = machine.median_and_spread(wall)
    return {
        "num_threads": num_threads,
        "seconds": timing,
        "records_per_second": records / timing["median"],
        "records_per_core_second": records / machine.median_and_spread(cpu)["median"],
    }
