"""Where arrays live: one mesh over all devices of all processes, batches split along `data`."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from noise2map_jax.errors import UserError


def create_mesh() -> Mesh:
    """Make the mesh: one axis, `data`, over every device of every process."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a batch spread over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on each device."""
    return NamedSharding(mesh, PartitionSpec())


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


def shard_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Put this process's rows of a batch on its devices.

    Args:
        batch: arrays of the process's own rows, [B / number of processes, ...].
        mesh: the devices.

    Returns:
        Global arrays, [B, ...].
    """
    sharding = batch_sharding(mesh)
    with jax.transfer_guard("allow"):  # meant, though with several processes JAX takes it for not
        return {
            key: jax.make_array_from_process_local_data(sharding, value)
            for key, value in batch.items()
        }


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a tree of arrays, the same in every process, on every device of every process."""

    def put(host: np.ndarray) -> jax.Array:
        # `device_put` refuses devices of other processes.
        return jax.make_array_from_callback(host.shape, replicated(mesh), lambda index: host[index])

    return jax.tree.map(lambda leaf: put(np.asarray(jax.device_get(leaf))), tree)
