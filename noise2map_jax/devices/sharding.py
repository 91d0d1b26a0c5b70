"""Placement of arrays: one mesh over all devices of all processes, and the part each device holds.

The rows of a batch are split over both axes of the mesh. Parameters, the optimiser's state and
averaged weights are split over the axis `fsdp` if they are large (ZeRO, Rajbhandari et al. 2020);
`steps/data_parallel.py` gathers the parameters for a step.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from noise2map_jax.devices.presence import require_devices
from noise2map_jax.errors import UserError

AXES = ("data", "fsdp")
LEAST_SHARDED = 2**14  # elements; smaller arrays are cheaper to keep whole than to gather


def create_mesh(
    fsdp: int = 1, devices: Sequence[jax.Device] | None = None, slice_of: str = "slice_index"
) -> Mesh:
    """Make the mesh: axes `data` and `fsdp`, over every device of every process.

    Slices (TPU slices, or machines with GPUs) are joined by a slower network, so the axis `fsdp`
    never leaves a slice.

    Args:
        fsdp: number of devices that share one copy of the parameters; 1 = each holds its own.
        devices: the devices to use; None = all.
        slice_of: attribute that numbers a device's slice: `slice_index`, or `process_index` where
            each machine is a process.

    Raises:
        UserError: `fsdp` does not divide the devices of a slice, or there is no device.
    """
    devices = require_devices() if devices is None else list(devices)
    slices = len({getattr(device, slice_of, 0) for device in devices})
    a_slice = len(devices) // slices
    if fsdp < 1 or a_slice % fsdp:
        where = f" of each of {slices} slices (of GPUs: machines)" if slices > 1 else ""
        raise UserError(
            f"mesh.fsdp is {fsdp}, which does not divide the {a_slice} devices{where}; choose 1 "
            "or another divisor"
        )
    shape, types = (a_slice // fsdp, fsdp), (AxisType.Auto,) * len(AXES)
    # `fsdp` may be less than a side of the torus of chips: the side is then split.
    split = {"allow_split_physical_axes": True}
    if slices == 1:
        grid = mesh_utils.create_device_mesh(shape, devices, **split)
    else:
        by_process = slice_of == "process_index"
        grid = mesh_utils.create_hybrid_device_mesh(
            shape, (slices, 1), devices, process_is_granule=by_process, **split
        )
    return Mesh(grid, AXES, axis_types=types)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Sharding that spreads the rows of a batch over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding that puts the whole array on each device."""
    return NamedSharding(mesh, PartitionSpec())


def is_large(shape: Sequence[int]) -> bool:
    """Whether an array is large enough to split: most kernels are, biases are not."""
    return len(shape) > 0 and math.prod(shape) >= LEAST_SHARDED


def parameter_spec(shape: Sequence[int], fsdp: int) -> PartitionSpec:
    """Split an array along its largest dimension that `fsdp` divides.

    Args:
        shape: shape of a parameter, or of the optimiser's state for it.
        fsdp: number of parts.

    Returns:
        The partition; an empty one for small arrays, and where `fsdp` divides no dimension.
    """
    if fsdp == 1 or not is_large(shape):
        return PartitionSpec()
    size, dim = max((size if size % fsdp == 0 else 0, dim) for dim, size in enumerate(shape))
    return PartitionSpec(*[None] * dim, "fsdp") if size else PartitionSpec()


def parameter_sharding(tree: Any, mesh: Mesh) -> Any:
    """Return the sharding of each array of a tree by the rule of `parameter_spec`.

    Args:
        tree: parameters or a whole training state, as arrays or shapes.
        mesh: the devices.

    Returns:
        A tree of shardings of the same structure.
    """
    fsdp = mesh.shape["fsdp"]
    return jax.tree.map(lambda x: NamedSharding(mesh, parameter_spec(x.shape, fsdp)), tree)


def check_batch_size(batch_size: int, num_devices: int, *, num_microbatches: int = 1) -> int:
    """Return the number of rows of a global batch that each device gets.

    Args:
        batch_size: rows of a global batch.
        num_devices: number of devices that the batch is split over.
        num_microbatches: number of parts of a batch that gradients are accumulated over.

    Raises:
        UserError: the batch cannot be divided evenly.
    """
    parts = num_devices * num_microbatches
    if batch_size < 1 or num_microbatches < 1 or batch_size % parts:
        raise UserError(
            f"a batch of {batch_size} cannot be divided by {num_devices} devices x "
            f"{num_microbatches} micro-batches; choose a multiple of {max(parts, 1)}"
        )
    return batch_size // num_devices


def process_rows(mesh: Mesh, batch_size: int, process_index: int) -> np.ndarray:
    """Return the rows of a global batch that lie on the devices of a process.

    The rows need not be adjacent: a mesh follows the wires between chips, so on a TPU slice the
    devices of one process may be far apart in the mesh.

    Args:
        mesh: the devices.
        batch_size: B, a multiple of the number of devices.
        process_index: index of the process.

    Returns:
        [B / number of processes] int, ascending.
    """
    rows = np.arange(batch_size).reshape(mesh.size, -1)  # of each device, in the mesh's order
    own = [device.process_index == process_index for device in mesh.devices.flat]
    return rows[own].reshape(-1)


def shard_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Put this process's rows of a batch on its devices.

    Args:
        batch: arrays of the rows that `process_rows` names, [B / number of processes, ...].
        mesh: the devices.

    Returns:
        Global arrays, [B, ...].
    """
    sharding = batch_sharding(mesh)
    num_local = next(iter(batch.values())).shape[0]
    batch_size = num_local * mesh.size // len(sharding.addressable_devices)
    rows = process_rows(mesh, batch_size, jax.process_index())

    def put(local: np.ndarray) -> jax.Array:
        def of_device(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(batch_size)
            first = int(np.searchsorted(rows, start))
            return local[first : first + stop - start]

        return jax.make_array_from_callback((batch_size, *local.shape[1:]), sharding, of_device)

    with jax.transfer_guard("allow"):  # JAX, with several processes, takes this for an accident
        return {key: put(value) for key, value in batch.items()}


def move(tree: Any, shardings: Any) -> Any:
    """Move arrays to other shardings on the same mesh.

    Args:
        tree: arrays, the same in every process.
        shardings: the new shardings, a tree of the same structure.
    """
    if all(jax.tree.leaves(jax.tree.map(lambda x, s: x.sharding == s, tree, shardings))):
        return tree
    # Not `device_put`, which refuses devices of other processes.
    return jax.jit(_identity, out_shardings=shardings)(tree)


def _identity(tree: Any) -> Any:  # a module-level function, so that JAX finds its compiled programs
    return tree


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a tree of arrays, the same in every process, on every device of every process."""

    def put(host: np.ndarray) -> jax.Array:
        # `device_put` refuses devices of other processes.
        return jax.make_array_from_callback(host.shape, replicated(mesh), lambda index: host[index])

    return jax.tree.map(lambda leaf: put(np.asarray(jax.device_get(leaf))), tree)
