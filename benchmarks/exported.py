"""Measures exported networks on the CPU: onnxruntime and the StableHLO export against JAX, tiles/s.

Every side gets pixels as stored and gives probabilities. `jax` is the step that maps of scenes are
made with, `stablehlo` its export as `noise2map_jax.exports.loaded` runs it. The sides take turns in
every repeat, so that all see the same load of the machine; processor time is that of all threads.
"""

import argparse
import functools
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import onnxruntime

from benchmarks import machine
from noise2map_jax.exports import loaded
from noise2map_jax.exports.folder import write_files
from noise2map_jax.exports.metadata import describe
from noise2map_jax.exports.onnx_file import onnx_files
from noise2map_jax.exports.prediction import read_prediction
from noise2map_jax.exports.stablehlo import stablehlo_files
from noise2map_jax.steps.eval_step import predict_step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--workdir", required=True, help="work folder of a finished run")
    parser.add_argument("--task", default="", help="whose head, for a run of several tasks")
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--repeats", type=int, default=20)


def run(arguments: argparse.Namespace) -> None:
    """Measure and report."""
    jax.config.update("jax_platforms", "cpu")
    finished, prediction = read_prediction(arguments.workdir, task=arguments.task)
    about = describe(finished, prediction)
    graph = onnx_files(prediction, about, "stored")["model.onnx"]
    with tempfile.TemporaryDirectory() as folder:
        write_files(pathlib.Path(folder), stablehlo_files(prediction, about))
        model = loaded.load(folder)
    step = jax.jit(functools.partial(predict_step, problem=prediction.problem))
    params = jax.device_put(prediction.params)
    noise = (prediction.process, prediction.draws)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rows = []
    for batch_size in arguments.batch_sizes:
        rng = np.random.default_rng(0)
        shape = (batch_size, *prediction.tile_shape)
        images = [rng.integers(0, 256, shape).astype(about["dtype"]) for _ in model.image_keys]
        pixels = np.moveaxis(np.concatenate(images, -1), -1, 1).astype(np.float32)
        batch = dict(zip(model.image_keys, images, strict=True))
        batch |= {"scene": np.zeros(batch_size, np.uint32)}
        batch |= {key: np.zeros(batch_size, np.int32) for key in ("row", "column")}
        sides: dict[str, Callable[[], Any]] = {
            "jax": lambda batch=batch: np.asarray(step(params, batch, *noise).probabilities),
            "stablehlo": lambda images=images: model.predict_tiles(*images),
            "onnxruntime": lambda pixels=pixels: session.run(None, {"pixels": pixels})[0],
        }
        found = np.moveaxis(sides["onnxruntime"](), 1, -1)
        difference = float(np.abs(found - sides["jax"]()).max())
        sides["stablehlo"]()  # compiles
        timings = _take_turns(sides, arguments.repeats)
        row = {"batch_size": batch_size, "largest_difference": difference} | timings
        for name in sides:
            row[name]["tiles_per_second"] = batch_size / row[name]["seconds"]["median"]
        for name in ("stablehlo", "onnxruntime"):
            for kind in ("seconds", "processor_seconds"):
                ratio = row[name][kind]["median"] / row["jax"][kind]["median"]
                row[f"{name}_{kind}_over_jax"] = ratio
        print(row, flush=True)
        rows.append(row)
    options = {"task": about["task"]} | {
        name: getattr(arguments, name) for name in ("batch_sizes", "repeats")
    }
    result = {
        "benchmark": "exported",
        "machine": machine.describe(),
        "options": options,
        "tile_size": about["tile_size"],
        "block_out_channels": list(prediction.problem.model.unet.block_out_channels),
        "rows": rows,
    }
    machine.report(result, arguments.output)


def _take_turns(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Any]:
    """Time calls in turns; seconds of the clock, and of the processor over all threads."""
    clock: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            start, busy = time.perf_counter(), time.process_time()
            call()
            clock[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - busy)
    return {
        name: {
            "seconds": machine.median_and_spread(clock[name]),
            "processor_seconds": machine.median_and_spread(processor[name]),
        }
        for name in sides
    }
