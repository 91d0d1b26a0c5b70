"""TPU slices and machines with GPUs to compile for without having one.

The compilers are libraries that nothing loads before a topology is asked for.
"""

import contextlib
import importlib.resources
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.errors import UserError

GPUS = ("a100", "h100", "h200", "b200", "l4")  # each described in a file of the folder `gpus`
MOST_GPUS = 72  # on one machine: NVLink joins no more
CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
EXAMPLES = (
    "v5e:16x16, v6e:16x16, v5p:8x8x8, v4:4x4x4, tpu7x:4x4x4, or of GPUs "
    f"{', '.join(f'{gpu}:8' for gpu in GPUS)}"
)
# On v4 machines JAX lists whole chips; a topology description lists half chips without this.
_OPTIONS: dict[str, dict[str, Any]] = {"v4": {"chip_config_name": "megacore"}}


def topology_mesh(name: str, num_slices: int = 1, fsdp: int = 1) -> Mesh:
    """Make the mesh of a topology, as `create_mesh` does of devices that are there.

    Args:
        name: see `topology_devices`.
        num_slices: number of TPU slices, or of machines with GPUs.
        fsdp: number of devices that share one copy of the parameters.

    Raises:
        UserError: the compiler is not installed, there is no such topology, or `fsdp` does not
            divide the devices of a slice.
    """
    devices = topology_devices(name, num_slices)
    # Described GPUs all have the slice index 0, and one process for each machine.
    slice_of = "process_index" if devices[0].platform == "gpu" else "slice_index"
    return create_mesh(fsdp, devices, slice_of)


def topology_devices(name: str, num_slices: int = 1) -> list[Any]:
    """Describe the devices of a TPU slice or of a machine with GPUs; this machine needs none.

    Args:
        name: a TPU generation and a shape in chips: `v5e:16x16`, `v6e:16x16`, `v5p:8x8x8`,
            `v4:4x4x4`, `tpu7x:4x4x4`; or one of `GPUS` and their number in a machine: `h100:8`.
        num_slices: number of such slices or machines, joined by the network of the data centre.

    Returns:
        Devices that programs can be compiled for, but cannot run on.

    Raises:
        UserError: the compiler is not installed, or there is no such topology.
    """
    kind, _, shape = name.partition(":")
    if not shape:
        raise UserError(f"--topology={name} has no shape; expected for example {EXAMPLES}")
    find = _gpus if kind in GPUS else _tpus
    try:
        return list(find(name, kind, shape, num_slices).devices)
    except UserError:
        raise
    except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--topology={name}: {reason}; expected for example {EXAMPLES}") from None


def _tpus(name: str, kind: str, shape: str, num_slices: int) -> Any:
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"--topology={name} needs the compiler for TPUs; install it with "
            "pip install 'noise2map_jax[tpu]'"
        )
    options = _OPTIONS.get(kind, {})
    if num_slices > 1:
        options = options | {"num_slices": num_slices}
    with _without_a_tpu():
        return topologies.get_topology_desc(platform="tpu", topology_name=name, **options)


def _gpus(name: str, kind: str, shape: str, num_slices: int) -> Any:
    if not (shape.isascii() and shape.isdigit() and 0 < int(shape) <= MOST_GPUS):
        raise ValueError(f"{shape!r} is no number of GPUs from 1 to {MOST_GPUS}")
    if not any(importlib.util.find_spec(plugin) for plugin in CUDA_PLUGINS):
        raise UserError(
            f"--topology={name} needs the compiler for NVIDIA GPUs; install it with "
            "pip install 'noise2map_jax[cuda-compile]'"
        )
    described = importlib.resources.files(__package__) / "gpus" / f"{kind}.txtpb"
    return topologies.get_topology_desc(
        platform="cuda",
        target_config=described.read_text(),
        topology=f"{num_slices}x1x{int(shape)}",  # partitions x machines x GPUs
    )


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
