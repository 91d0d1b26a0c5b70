"""Measures the input pipeline: records/s a core, from ArrayRecord shards to batches on the host."""

import argparse
import itertools
import time

from benchmarks import machine
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
    source = dataset.source("train")
    keys = (*TASKS[dataset.manifest["task"]].image_keys, "mask")
    rows = []
    for num_threads in arguments.num_threads:
        wall, cpu = [], []
        for repeat in range(arguments.repeats + 1):
            batches = train_batches(
                source,
                keys,
                seed=repeat,
                batch_size=arguments.batch_size,
                rows=range(arguments.batch_size),
                num_threads=num_threads,
            )
            next(batches)  # opens files and starts threads
            start, start_cpu = time.perf_counter(), time.process_time()
            for _ in itertools.islice(batches, arguments.num_batches):
                pass
            if repeat:  # the first pass warms the file cache
                wall.append(time.perf_counter() - start)
                cpu.append(time.process_time() - start_cpu)
        records = arguments.batch_size * arguments.num_batches
        timing = machine.median_and_spread(wall)
        rows.append(
            {
                "num_threads": num_threads,
                "seconds": timing,
                "records_per_second": records / timing["median"],
                "records_per_core_second": records / machine.median_and_spread(cpu)["median"],
            }
        )
    machine.report(
        {
            "benchmark": "input_pipeline",
            "machine": machine.describe(),
            "dataset": dataset.protocol("train"),
            "rows": rows,
        },
        arguments.output,
    )
