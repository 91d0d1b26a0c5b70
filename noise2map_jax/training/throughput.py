"""What training gets out of a device: arithmetic a second, and the share of what it can do."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax

from noise2map_jax.cost.arithmetic import lowered_flops
from noise2map_jax.cost.machine import peak_memory_of_process
from noise2map_jax.cost.matmul_peak import matmul_peak
from noise2map_jax.devices.execution import Execution
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import Experiment

AFTER = 20.0  # seconds of training; what is counted and measured takes one or two


class Throughput:
    """Turns seconds a step into TFLOP/s of a device.

    Short trainings are not kept waiting: arithmetic is counted, and the peak measured, when
    training has lasted for `AFTER` seconds. Until then nothing is told.
    """

    def __init__(self, step: Any, dtype: Any, count: Callable[[], float]):
        """Prepare.

        Args:
            step: the jitted training step.
            dtype: type in which the network multiplies.
            count: counts the arithmetic of a step on one device.
        """
        self._step, self._dtype, self._count = step, dtype, count
        self._begun = time.monotonic()
        self._shapes: Any = None
        self._flops = self._peak = 0.0

    def see(self, *arguments: Any) -> None:
        """Remember the shapes of the step's arguments, before the step takes them."""
        if self._shapes is None:
            self._shapes = jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), arguments
            )

    @property
    def is_due(self) -> bool:
        """Whether it is time to count and measure, which is done once."""
        seen = self._shapes is not None and not self._peak
        return seen and time.monotonic() - self._begun >= AFTER

    def prepare(self) -> None:
        """Count and measure; nothing else should run on the device."""
        with jax.transfer_guard("allow"):
            try:
                self._flops = self._count()
            except UserError as error:  # training itself does not need the CPU
                print(f"TFLOP/s are not told: {error}", flush=True)
            self._peak = matmul_peak(self._dtype, repeats=3)

    def program_text(self) -> str:
        """Return the text of the compiled step, which was called before."""
        return self._step.lower(*self._shapes).compile().as_text() or ""

    def scalars(self, seconds_a_step: float) -> dict[str, float]:
        """Return TFLOP/s of a device, and their share of the measured peak; empty at first."""
        if not self._flops:
            return {}
        rate = self._flops / seconds_a_step
        return {"tflop_per_second": rate / 1e12, "share_of_matmul_peak": rate / self._peak}


def create_throughput(step: Any, experiment: Experiment, execution: Execution) -> Throughput:
    """Prepare to tell the throughput of a step of networks like that of an experiment."""
    mesh, networks = execution.mesh, 1
    if execution.is_stacked:  # a device has whole batches of its own networks
        mesh, networks = create_mesh(1, mesh.devices.flat[:1]), execution.num_members // mesh.size
    count = functools.partial(lowered_flops, experiment.config, mesh)
    return Throughput(step, experiment.model.dtype, lambda: networks * count())


def memory_gib() -> dict[str, float]:
    """Return the most memory that was in use on the first device; on a CPU, by this process."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    most = statistics.get("peak_bytes_in_use")
    if most is None:
        most = peak_memory_of_process()
    return {"peak_memory_gib": most / 2**30}
