"""What training gets out of a device: arithmetic a second, and the share of what it can do."""

import time
from typing import Any

import jax

from noise2map_jax.cost.matmul_peak import matmul_peak

AFTER = 20.0  # seconds of training; what is counted and measured takes one or two


class Throughput:
    """Turns seconds a step into TFLOP/s of a device.

    Short trainings are not kept waiting: arithmetic is counted, and the peak measured, when
    training has lasted for `AFTER` seconds. Until then nothing is told.
    """

    def __init__(self, step: Any, dtype: Any, num_loops: int):
        """Prepare.

        Args:
            step: the jitted training step; with several devices, its program is that of one.
            dtype: type in which the network multiplies.
            num_loops: number of passes of its loop over micro-batches; 1 = there is no loop.
        """
        self._step, self._dtype, self._num_loops = step, dtype, num_loops
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
            analysis = self._step.lower(*self._shapes).cost_analysis() or {}
            self._peak = matmul_peak(self._dtype, repeats=3)
        self._flops = self._num_loops * float(analysis.get("flops", 0.0))

    def program_text(self) -> str:
        """Return the text of the compiled step, which was called before."""
        return self._step.lower(*self._shapes).compile().as_text() or ""

    def scalars(self, seconds_a_step: float) -> dict[str, float]:
        """Return TFLOP/s of a device, and their share of the measured peak; empty at first."""
        if not self._flops:
            return {}
        rate = self._flops / seconds_a_step
        return {"tflop_per_second": rate / 1e12, "share_of_matmul_peak": rate / self._peak}


def memory_gib() -> dict[str, float]:
    """Return the most memory that was in use on the first device; empty where it does not say."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" not in statistics:
        return {}
    return {"peak_memory_gib": statistics["peak_bytes_in_use"] / 2**30}
