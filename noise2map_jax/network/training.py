"""What a network is told in training, and not in prediction."""

import zlib
from typing import Any

import flax.linen as nn
import jax
from flax import struct


class Training(struct.PyTreeNode):
    """A pass of training: random numbers, and the devices that share the batch.

    Attributes:
        row_keys: [B] random keys, one a row of the batch. What is drawn for a row depends on its
            key alone, so it is the same however the batch is divided over devices or micro-batches.
        axes: names of the mesh axes that the rows lie on, within `jax.shard_map`; () = all rows are
            here.
        frozen_statistics: whether batch normalisation uses its running statistics as constants.
    """

    row_keys: jax.Array
    axes: tuple[str, ...] = struct.field(pytree_node=False, default=())
    frozen_statistics: bool = struct.field(pytree_node=False, default=False)

    def keys_of(self, module: nn.Module) -> jax.Array:
        """Return [B] random keys for one layer: they follow from its place in the network."""
        number = zlib.crc32("/".join(module.path).encode())
        return self.folded(number).row_keys

    def folded(self, number: int) -> "Training":
        """Return the same pass with other random numbers, as for another date."""
        keys: Any = jax.vmap(jax.random.fold_in, (0, None))(self.row_keys, number)
        return self.replace(row_keys=keys)
