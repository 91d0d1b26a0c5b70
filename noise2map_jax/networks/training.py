"""What a network needs to know in training: random numbers by row, and where the other rows are."""

import zlib
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


class Training(flax.struct.PyTreeNode):
    """How a network runs in training; in prediction there is `None` in its place.

    Attributes:
        row_keys: [B] typed PRNG keys, one for each image. Dropout draws each row from its own key,
            so numbers do not depend on how rows are divided over devices or micro-batches.
        axes: names of the mesh axes that rows are spread over inside `jax.shard_map`; () = all rows
            are here.
        frozen_statistics: whether batch normalisation takes its running statistics as constants
            and does not update them.
        num_batches: rows are so many batches of equal length, one after another; each is
            normalised by itself, and updates the running statistics after the one before it.
    """

    row_keys: jax.Array
    axes: tuple[str, ...] = flax.struct.field(pytree_node=False, default=())
    frozen_statistics: bool = flax.struct.field(pytree_node=False, default=False)
    num_batches: int = flax.struct.field(pytree_node=False, default=1)

    def repeated(self, n: int) -> "Training":
        """Describe n passes over the same rows, run as one pass over n * B rows.

        Rows are those of pass 0, then those of pass 1, and so on: a Siamese encoder gives
        `jnp.concatenate([pre, post])` with `repeated(2)`. This is what n calls one after another
        give in PyTorch: each pass has its own dropout and its own batch statistics, and running
        statistics are updated n times.
        """
        fold_in = jax.vmap(jax.random.fold_in, in_axes=(0, None))
        keys = jnp.concatenate([fold_in(self.row_keys, number) for number in range(n)])
        return self.replace(row_keys=keys, num_batches=n * self.num_batches)

    def keep(self, path: Sequence[str], rate: float, shape: Sequence[int]) -> jax.Array:
        """Draw which entries dropout keeps.

        Args:
            path: the layer's path in the network; layers with other paths draw other numbers.
            rate: probability that an entry is dropped.
            shape: shape of a row's mask.

        Returns:
            [B, *shape] bool, true with probability 1 - rate.
        """
        layer = np.uint32(zlib.crc32("/".join(path).encode()))

        def of_row(key: jax.Array) -> jax.Array:
            return jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - rate, tuple(shape))

        return jax.vmap(of_row)(self.row_keys)
