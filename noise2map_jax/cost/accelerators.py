"""Limits of accelerators: memory, arithmetic, bandwidths."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """The limits of a device: one entry of `jax.devices()`, which need not be a whole chip.

    Attributes:
        memory: bytes.
        flops: peak rate of bfloat16 matrix products, FLOP a second.
        bandwidth: memory bandwidth, bytes a second.
        interconnect: bandwidth to neighbours in one direction, over all links, bytes a second.
        clock: cycles a second; None if the device's compiler estimates no cycles.
    """

    memory: float
    flops: float
    bandwidth: float
    interconnect: float
    clock: float | None = None


GIB = 2.0**30
# From the vendor's pages on each generation: peak compute, HBM capacity and bandwidth, half of the
# bidirectional interconnect, all for a chip; a TPU7x device is half a chip. The clock is the rate
# at which the matrix units reach the peak, with 131,072 FLOP a cycle (v5e), twice (v4, v5p) and
# four times as many (v6e, TPU7x). Products of 4096 x 4096 compile to 0.83 to 0.97 of the peak.
ACCELERATORS = {
    "TPU v4": Accelerator(32 * GIB, 275e12, 1228e9, 300e9, 1.05e9),
    "TPU v5 lite": Accelerator(16 * GIB, 197e12, 819e9, 200e9, 1.5e9),
    "TPU v5": Accelerator(95 * GIB, 459e12, 2765e9, 600e9, 1.75e9),
    "TPU v6 lite": Accelerator(32 * GIB, 918e12, 1638e9, 400e9, 1.75e9),
    "TPU7x": Accelerator(96 * GIB, 1153.5e12, 3690e9, 300e9, 2.2e9),
    # Dense matrix products, without sparsity; NVLink of the fourth generation.
    "NVIDIA H100 80GB HBM3": Accelerator(80 * GIB, 989e12, 3350e9, 450e9),
    "NVIDIA H200": Accelerator(140 * GIB, 989e12, 4800e9, 450e9),
}


def accelerator_of(device: Any) -> Accelerator | None:
    """Look up the limits of a device; None for unknown devices, such as CPUs."""
    return ACCELERATORS.get(device.device_kind)
