"""Limits of accelerators, and TPU slices to compile for without having one."""

import contextlib
import dataclasses
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import topologies

from noise2map_jax.errors import UserError


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
# On v4 machines JAX lists whole chips; a topology description lists half chips without this.
_OPTIONS: dict[str, dict[str, Any]] = {"v4": {"chip_config_name": "megacore"}}


def accelerator_of(device: Any) -> Accelerator | None:
    """Look up the limits of a device; None for unknown devices, such as CPUs."""
    return ACCELERATORS.get(device.device_kind)


def topology_devices(name: str, num_slices: int = 1) -> list[Any]:
    """Describe the devices of a TPU slice; this machine needs no TPU.

    Args:
        name: generation and shape in chips: `v5e:16x16`, `v6e:16x16`, `v5p:8x8x8`, `v4:4x4x4`,
            `tpu7x:4x4x4`.
        num_slices: number of such slices, joined by the network of the data centre.

    Returns:
        Devices that programs can be compiled for, but cannot run on.

    Raises:
        UserError: libtpu is not installed, or there is no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"--topology={name} needs the compiler for TPUs; install it with "
            "pip install 'noise2map_jax[tpu]'"
        )
    generation, _, shape = name.partition(":")
    if not shape:
        raise UserError(f"--topology={name} has no shape; expected for example v5e:16x16")
    options = _OPTIONS.get(generation, {})
    if num_slices > 1:
        options = options | {"num_slices": num_slices}
    with _without_a_tpu():
        try:
            found = topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
        except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"--topology={name}: {reason}; expected for example v5e:16x16, v6e:16x16, "
                "v5p:8x8x8, v4:4x4x4, tpu7x:4x4x4"
            ) from None
    return list(found.devices)


@contextlib.contextmanager
def _without_a_tpu() -> Iterator[None]:
    """Let libtpu load on any machine without looking for a TPU's metadata or claiming a TPU.

    Otherwise libtpu would wait for a metadata server, and for a lock that another program on the
    machine may hold.
    """
    wanted = {
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
