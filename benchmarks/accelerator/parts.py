"""The parts of the benchmark, in the order of their importance."""

import dataclasses
from collections.abc import Callable

from benchmarks.accelerator import (
    members,
    parity,
    peaks,
    pipeline,
    scene,
    short_training,
    throughput,
    torch_throughput,
)
from benchmarks.accelerator.job import Found, Job
from noise2map_jax.page.measurements import Shown


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    Attributes:
        title: of its section on the page.
        weight: its time is this, over the weights of all parts that are left, of the time left.
        measure: measures what the job's `found` lacks, and adds to it.
        show: turns what was found into tables and plots.
        reads_data: whether its numbers are those of one dataset.
    """

    title: str
    weight: float
    measure: Callable[[Job], None]
    show: Callable[[Found], Shown]
    reads_data: bool = False


PARTS = {
    "peaks": Part("Peaks", 2, peaks.measure, peaks.show),
    "parity": Part("Parity", 4, parity.measure, parity.show),
    "training": Part("Training", 6, throughput.measuring("train"), throughput.showing("train")),
    "forward": Part(
        "Forward pass", 4, throughput.measuring("forward"), throughput.showing("forward")
    ),
    "torch": Part("PyTorch", 5, torch_throughput.measure, torch_throughput.show),
    "members": Part("Studies", 3, members.measure, members.show, reads_data=True),
    "pipeline": Part("Input pipeline", 1, pipeline.measure, pipeline.show, reads_data=True),
    "maps": Part("Maps of scenes", 2, scene.measure_maps, scene.show_maps),
    "passes": Part("One pass, DDIM", 2, scene.measure_passes, scene.show_passes),
    "short_training": Part(
        "Short training", 4, short_training.measure, short_training.show, reads_data=True
    ),
}


def measure_part(argument: tuple[str, Job], send: Callable[[Found], None]) -> None:
    """Measure one part, in a process of its own."""
    name, job = argument
    PARTS[name].measure(dataclasses.replace(job, send=send))
