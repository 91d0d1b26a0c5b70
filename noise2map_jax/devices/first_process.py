"""What the first process alone reads or writes, where processes share no folder, told to all.

Every process calls these functions, in the same order.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError

_CHUNK = 2**26  # bytes that are sent at once


def told(ask: Callable[[], Any]) -> Any:
    """Let the first process find something out, and tell all.

    Args:
        ask: returns a JSON value; called by the first process alone.

    Returns:
        The value, as it comes back from JSON.

    Raises:
        UserError: on every process, if `ask` raised it.
    """
    answer = {}
    if jax.process_index() == 0:
        try:
            answer = {"value": ask()}
        except UserError as error:
            answer = {"mistake": str(error)}
    answer = json.loads(_sent(strict_json.dumps(answer).encode()))
    if "mistake" in answer:
        raise UserError(answer["mistake"])
    return answer["value"]


def gathered(tree: Any) -> Any:
    """Bring all arrays of a tree to the first process, whole.

    Returns:
        A tree of NumPy arrays, copies that later steps do not change; None on other processes.
    """
    with jax.transfer_guard("allow"):
        whole = jax.tree.map(_whole, tree)
    return whole if jax.process_index() == 0 else None


def spread(tree: Any, abstract: Any) -> Any:
    """Place arrays that the first process has onto the devices of all.

    Args:
        tree: arrays; used on the first process alone.
        abstract: `jax.ShapeDtypeStruct` with shardings, for each array.

    Returns:
        A tree of global arrays.
    """
    leaves, structure = jax.tree.flatten(abstract)
    data = b""
    if jax.process_index() == 0:
        arrays = zip(jax.tree.leaves(tree), leaves, strict=True)
        data = b"".join(np.asarray(array, leaf.dtype).tobytes() for array, leaf in arrays)
    data, at, placed = _sent(data), 0, []
    for leaf in leaves:
        count = int(np.prod(leaf.shape))
        array = np.frombuffer(data, leaf.dtype, count, at).reshape(leaf.shape)
        at += array.nbytes
        placed.append(jax.make_array_from_callback(leaf.shape, leaf.sharding, array.__getitem__))
    return jax.tree.unflatten(structure, placed)


def _whole(leaf: Any) -> np.ndarray | None:
    if not leaf.is_fully_replicated:
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.array(leaf) if jax.process_index() == 0 else None


def _sent(data: bytes) -> bytes:
    """Send bytes from the first process to all; bytes, because sums would lose the sign of -0."""
    with jax.transfer_guard("allow"):
        size = multihost_utils.broadcast_one_to_all(np.array(divmod(len(data), _CHUNK), np.int32))
        num_chunks, rest = map(int, size)
        # One shape for all chunks, for a program is compiled for each.
        chunk = _CHUNK if num_chunks else max(rest, 1)
        length, parts = num_chunks * _CHUNK + rest, []
        own = np.frombuffer(data, np.uint8)
        for at in range(0, length, chunk):
            part = np.zeros(chunk, np.uint8)
            if jax.process_index() == 0:
                piece = own[at : at + chunk]
                part[: piece.size] = piece
            parts.append(np.asarray(multihost_utils.broadcast_one_to_all(part)))
        return b"".join(part.tobytes() for part in parts)[:length]
