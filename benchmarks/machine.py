"""Describes the machine, times calls, and sums up the measurements."""

import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from noise2map_jax.cost.machine import peak_memory_of_process, processor

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "grain", "tensorflow-datasets", "torch", "diffusers"),
    *("numpy", "scipy", "onnx", "onnxruntime"),
)


def describe() -> dict[str, Any]:
    """Describe the machine and the versions of the software."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    device = jax.devices()[0]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "device": f"{jax.device_count()} x {device.device_kind}",
        "python": platform.python_version(),
        "versions": versions,
    }


def median_and_spread(seconds: list[float]) -> dict[str, float]:
    """Return the median and the spread of repeated timings, in seconds."""
    return {
        "median": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "repeats": len(seconds),
    }


def time_calls(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Time a call that blocks until its work is done, after one call to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median_and_spread(seconds)


def rates(
    batch_size: int, seconds: float, flop: float | None, peak: float | None
) -> dict[str, float]:
    """Return what a call does a second.

    Args:
        batch_size: images of a call.
        seconds: that it takes.
        flop: its arithmetic, a multiply-add as 2; None or 0 = not known.
        peak: FLOP/s of the device at best; None = not known.

    Returns:
        Images/s; TFLOP/s and their share of the peak where these are known.
    """
    found = {"images_per_second": batch_size / seconds}
    if flop:
        found["tflop_per_s"] = flop / seconds / 1e12
        if peak:
            found["share_of_matmul_peak"] = flop / seconds / peak
    return found


def peak_memory() -> int:
    """Return the peak memory so far in bytes: the device's if it reports it, else the process's."""
    stats = jax.devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    return peak_memory_of_process()


def report(result: dict[str, Any], output: str) -> None:
    """Print a result, and write it to `output` unless that is empty."""
    print(json.dumps(result, indent=2))
    write(result, output)


def write(result: dict[str, Any], output: str) -> None:
    """Write a result to `output` unless that is empty."""
    if output:
        path = pathlib.Path(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n")
