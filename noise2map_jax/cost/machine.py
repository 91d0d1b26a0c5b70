"""The machine that a measurement was made on."""

import importlib.metadata
import os
import pathlib
import platform
import resource
import time

import jax

PACKAGES = ("jax", "jaxlib", "flax", "optax")


def processor() -> str:
    """Return the name of the processor."""
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_of_process() -> int:
    """Return the most memory that this process had in use so far, in bytes."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # ru_maxrss also counts the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def circumstances() -> dict[str, str | int]:
    """What the speed of a program depends on besides the program: hardware and versions."""
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processor": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        **versions,
    }


def describe() -> str:
    """Describe the machine and the day in one line."""
    of = circumstances()
    return (
        f"{of['devices']}, {of['processor']}, {of['cores']} cores, jax {of['jax']}, Python "
        f"{of['python']}, {time.strftime('%Y-%m-%d')}"
    )
