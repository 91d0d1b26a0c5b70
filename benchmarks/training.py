"""Measures training end to end: how long a step waits for its batch, and for a checkpoint.

It runs the trainer's own step, input pipeline and checkpoints on a config and its data. As in
training, a batch is requested while the device computes the previous step; the remaining wait is
the stall. TFLOP/s are counted and timed as in the log of training.
"""

import argparse
import contextlib
import dataclasses
import importlib
import pathlib
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import machine
from noise2map_jax.cost.arithmetic import lowered_flops
from noise2map_jax.cost.matmul_peak import matmul_peak
from noise2map_jax.devices.checkpoint import Checkpoints, abstract_like
from noise2map_jax.devices.execution import create_execution
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.training.trainer import Run, Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", default="demo_ss", help="name of a config in configs/")
    parser.add_argument("--data_dir", default="demo/data", help="folder that holds its dataset")
    parser.add_argument("--batch_size", type=int, help="rows of a batch (default: the config's)")
    parser.add_argument("--num_steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5, help="number of checkpoints to time")


def run(arguments: argparse.Namespace) -> None:
    """Measure and report."""
    config = importlib.import_module(f"configs.{arguments.config}").get_config()
    config.data.data_dir, config.init_from = arguments.data_dir, ""
    config.train.batch_size = arguments.batch_size or config.train.batch_size
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder)
        experiment = create_experiment(config)
        trainer = Trainer(experiment, create_execution("dispatch", 1, config.mesh.fsdp))
        runs = [Run(experiment, workdir)]
        state = trainer.start(runs, workdir).state
        steps, state = _steps(trainer, runs, state, arguments.num_steps)
        flop = lowered_flops(config, trainer.execution.mesh)
        rate = flop * steps["images_per_second"] / config.train.batch_size
        peak = matmul_peak(jnp.dtype(config.model.dtype))
        result = {
            "benchmark": "training",
            "machine": machine.describe(),
            "options": {k: v for k, v in vars(arguments).items() if k not in ("name", "output")},
            "batch_size": config.train.batch_size,
            **steps,
            "flop_a_device": flop,
            "tflop_per_s_a_device": rate / 1e12,
            "matmul_peak_tflop_per_s": peak / 1e12,
            "share_of_matmul_peak": rate / peak,
            "checkpoint": _checkpoints(trainer, state, workdir, arguments.repeats),
        }
    machine.report(result, arguments.output)


@dataclasses.dataclass
class _Clock:
    """Adds up the time spent within `with clock:`."""

    seconds: list[float] = dataclasses.field(default_factory=list)

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *unused: object) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def _steps(
    trainer: Trainer, runs: list[Run], state: Any, num_steps: int
) -> tuple[dict[str, Any], Any]:
    """Train for some steps as the trainer does, and time its waits."""
    keys, processes = trainer.root_keys(runs), trainer.processes(runs)
    batches, reading, placing, all_of_it = trainer.batches(runs, 0), _Clock(), _Clock(), _Clock()
    metrics = None
    for i in range(num_steps + 5):  # the first steps compile and fill the pipeline
        if i == 5:
            jax.block_until_ready(metrics)
            reading, placing, all_of_it = _Clock(), _Clock(), _Clock()
        with all_of_it:
            with reading:
                host = next(batches)
            with placing:
                batch = trainer.execution.put_batches(host)
            previous = metrics
            state, metrics = trainer.step(state, batch, processes, keys)
            if previous is not None:
                jax.device_get(previous)  # one step late, as in the log
    whole = sum(all_of_it.seconds)
    return {
        "seconds_a_step": machine.median_and_spread(all_of_it.seconds),
        "images_per_second": trainer.batch_size * num_steps / whole,
        "input_stall_share": sum(reading.seconds) / whole,
        "placing_share": sum(placing.seconds) / whole,
    }, state


def _checkpoints(
    trainer: Trainer, state: Any, workdir: pathlib.Path, repeats: int
) -> dict[str, Any]:
    """Time saving and restoring: the part that training waits for, and that in the background."""
    pause, whole, restore = _Clock(), _Clock(), _Clock()
    abstract = abstract_like(state, trainer.execution.state_sharding(state))
    with contextlib.closing(Checkpoints(workdir / "timed")) as checkpoints:
        for step in range(1, repeats + 1):
            with whole:
                with pause:
                    checkpoints.save_latest(step, state)
                checkpoints.wait()
            with restore:
                jax.block_until_ready(checkpoints.restore_latest(abstract))
    return {
        "bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(state)),
        "pause_seconds": machine.median_and_spread(pause.seconds),
        "save_seconds": machine.median_and_spread(whole.seconds),
        "restore_seconds": machine.median_and_spread(restore.seconds),
    }
