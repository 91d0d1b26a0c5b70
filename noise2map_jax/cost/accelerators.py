"""Limits of accelerators: memory, arithmetic, bandwidths."""

import dataclasses
import os
from typing import Any

from noise2map_jax.errors import UserError
from noise2map_jax.network.matmul_precision import PRECISIONS


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """The limits of a device: one entry of `jax.devices()`, which need not be a whole chip.

    Attributes:
        memory: bytes.
        flops: peak rate of bfloat16 matrix products, FLOP a second.
        bandwidth: memory bandwidth, bytes a second.
        interconnect: bandwidth to neighbours in one direction, over all links, bytes a second.
        clock: cycles a second; None if the device's compiler estimates no cycles.
        float32_flops: peak rate of float32 products by `PRECISIONS`; None = that of bfloat16, of
            which one, three and six products make one of float32 (see `matmul_precision.py`).
        share: part of the memory that JAX gives to arrays.
    """

    memory: float
    flops: float
    bandwidth: float
    interconnect: float
    clock: float | None = None
    float32_flops: tuple[float, float, float] | None = None
    share: float = 1.0

    @property
    def usable(self) -> float:
        """Bytes that JAX gives to arrays."""
        return self.memory * self.share

    def multiplying(self, dtype: str, precision: str) -> "Accelerator":
        """Return the limits for a network that multiplies in some type.

        Args:
            dtype: type that the network computes in, `bfloat16` or `float32`.
            precision: one of `PRECISIONS`, for products of float32.
        """
        rates = self.float32_flops or (self.flops, self.flops / 3, self.flops / 6)
        if dtype == "bfloat16":
            return self
        return dataclasses.replace(self, flops=rates[PRECISIONS.index(precision)])


GIB = 2.0**30
MEMORY_SHARE = "XLA_CLIENT_MEM_FRACTION"  # of the environment; older versions: the name below
OLD_MEMORY_SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION"
GPU_SHARE = (
    0.75  # the documented default, https://docs.jax.dev/en/latest/gpu_memory_allocation.html
)


def _gpu(
    memory: float, flops: float, tf32: float, float32: float, bandwidth: float, interconnect: float
) -> Accelerator:
    rates = (tf32, tf32, float32)
    return Accelerator(memory, flops, bandwidth, interconnect, None, rates, GPU_SHARE)


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
    # NVIDIA's data sheets (nvidia.com/en-us/data-center/a100, h100, h200, l4; Blackwell
    # architecture brief for HGX B200): products without sparsity, of bfloat16, TF32 and, outside
    # the tensor cores, float32; memory bandwidth; half of NVLink's 600, 900, 900 and 1,800 GB/s, or
    # of PCIe 4 x16 for the L4. The memory is what CUDA reports, see `gpus/*.txtpb`.
    "NVIDIA A100-SXM4-80GB": _gpu(85100068864, 312e12, 156e12, 19.5e12, 2039e9, 300e9),
    "NVIDIA H100 80GB HBM3": _gpu(84942979072, 989.4e12, 494.7e12, 66.9e12, 3350e9, 450e9),
    "NVIDIA H200": _gpu(150108897280, 989.4e12, 494.7e12, 66.9e12, 4800e9, 450e9),
    "NVIDIA B200": _gpu(191514411008, 2250e12, 1100e12, 80e12, 8000e9, 900e9),
    "NVIDIA L4": _gpu(23653777408, 121e12, 60e12, 30.3e12, 300e9, 32e9),
}


def accelerator_of(device: Any) -> Accelerator | None:
    """Look up the limits of a device; None for unknown devices, such as CPUs.

    Raises:
        UserError: the environment gives JAX a share of a GPU's memory that is no fraction.
    """
    found = ACCELERATORS.get(device.device_kind)
    if found is None or device.platform != "gpu":
        return found
    return dataclasses.replace(found, share=_share_of_gpus())


def _share_of_gpus() -> float:
    name = MEMORY_SHARE if os.environ.get(MEMORY_SHARE) else OLD_MEMORY_SHARE
    given = os.environ.get(name) or str(GPU_SHARE)
    try:
        share = float(given)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UserError(f"{name}={given} is no fraction; expected more than 0 and at most 1")
    return share
