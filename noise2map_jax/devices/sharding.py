"""Where arrays live: one mesh over all devices of all processes, and the parts each of them holds.

The rows of a batch are split over both axes of the mesh. Parameters, the optimiser's state and
averaged weights are split over the axis `fsdp` by a rule of size (ZeRO, Rajbhandari et al. 2020);
`data_parallel.py` gathers the parameters for a step.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from noise2map_jax.errors import UserError

AXES = ("data", "fsdp")
LEAST_SHARDED = 2**14  # elements; smaller arrays cost more to gather than they take


def create_mesh(fsdp: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Make the mesh: axes `data` and `fsdp`, over every device of every process.

    Devices of several slices (TPU slices, or machines with GPUs), which are joined by a slower
    network, are laid out so that `fsdp` never leaves a slice.

    Args:
        fsdp: number of devices that share one copy of the parameters; 1 = each holds its own.
        devices: those to use; None: all there are.

    Raises:
        UserError: the devices cannot be divided so.
    """
    devices = jax.devices() if devices is None else list(devices)
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    a_slice = len(devices) // slices
    if fsdp < 1 or a_slice % fsdp:
        where = f" of each of {slices} slices (of GPUs: machines)" if slices > 1 else ""
        raise UserError(
            f"mesh.fsdp is {fsdp}, which does not divide the {a_slice} devices{where}; choose a "
            "divisor, or 1"
        )
    shape, types = (a_slice // fsdp, fsdp), (AxisType.Auto,) * len(AXES)
    # `fsdp` may be less than a side of the chips' torus, which is then split.
    split = {"allow_split_physical_axes": True}
    if slices == 1:
        grid = mesh_utils.create_device_mesh(shape, devices, **split)
    else:
        grid = mesh_utils.create_hybrid_device_mesh(shape, (slices, 1), devices, **split)
    return Mesh(grid, AXES, axis_types=types)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a batch spread over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on each device."""
    return NamedSharding(mesh, PartitionSpec())


def is_large(shape: Sequence[int]) -> bool:
    """Whether an array of this shape is worth splitting, as kernels are and biases are not."""
    return len(shape) > 0 and math.prod(shape) >= LEAST_SHARDED


def parameter_spec(shape: Sequence[int], fsdp: int) -> PartitionSpec:
    """Say along which dimension an array is split: the largest that `fsdp` divides.

    Args:
        shape: of a parameter, or of what the optimiser keeps of it.
        fsdp: number of parts.

    Returns:
        Its partition; an empty one for small arrays, and for those that nothing divides.
    """
    if fsdp == 1 or not is_large(shape):
        return PartitionSpec()
    size, dim = max((size if size % fsdp == 0 else 0, dim) for dim, size in enumerate(shape))
    return PartitionSpec(*[None] * dim, "fsdp") if size else PartitionSpec()


def parameter_sharding(tree: Any, mesh: Mesh) -> Any:
    """Place each array of a tree, of parameters or of a whole training state, by its size.

    Args:
        tree: of arrays, or of their shapes.
        mesh: the devices.

    Returns:
        A tree of shardings of the same structure.
    """
    fsdp = mesh.shape["fsdp"]
    return jax.tree.map(lambda x: NamedSharding(mesh, parameter_spec(x.shape, fsdp)), tree)


def check_batch_size(batch_size: int, num_devices: int, *, num_microbatches: int = 1) -> int:
    """Return the rows of a global batch that each device gets.

    Args:
        batch_size: rows of a global batch.
        num_devices: over which the batch is split.
        num_microbatches: parts of a batch over which gradients are accumulated.

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
    """Say which rows of a global batch lie on the devices of a process.

    They need not be next to each other: a mesh follows the wires between chips, so that on a TPU
    slice devices of one process may be far apart in it.

    Args:
        mesh: the devices.
        batch_size: B, a multiple of their number.
        process_index: of the process.

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

    with jax.transfer_guard("allow"):  # meant, though with several processes JAX takes it for not
        return {key: put(value) for key, value in batch.items()}


def move(tree: Any, shardings: Any) -> Any:
    """Spread arrays that are on the devices of a mesh over them in another way.

    Args:
        tree: arrays, in every process the same.
        shardings: a tree of the same structure.
    """
    if all(jax.tree.leaves(jax.tree.map(lambda x, s: x.sharding == s, tree, shardings))):
        return tree
    # Not `device_put`, which refuses devices of other processes.
    return jax.jit(_identity, out_shardings=shardings)(tree)


def _identity(tree: Any) -> Any:  # one function: what is compiled for it is found again
    return tree


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a tree of arrays, the same in every process, on every device of every process."""

    def put(host: np.ndarray) -> jax.Array:
        # `device_put` refuses devices of other processes.
        return jax.make_array_from_callback(host.shape, replicated(mesh), lambda index: host[index])

    return jax.tree.map(lambda leaf: put(np.asarray(jax.device_get(leaf))), tree)
