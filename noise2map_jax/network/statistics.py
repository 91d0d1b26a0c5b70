"""Running statistics of batch normalisation, held in one tree with the parameters.

So checkpoints, averages, devices and exports carry them as they carry parameters. They have no
gradient: the training step replaces them.
"""

from typing import Any

import jax

STATISTICS = "batch_stats"  # their name at the top of the tree, and in Flax


def variables(params: Any) -> dict[str, Any]:
    """Take a tree apart into the collections that Flax applies: parameters and statistics."""
    parts = collections(params)
    return parts | jax.lax.stop_gradient({k: v for k, v in parts.items() if k == STATISTICS})


def collections(params: Any) -> dict[str, Any]:
    """Do the same with leaves of any kind, such as shapes."""
    if STATISTICS not in params:
        return {"params": params}
    rest = {name: value for name, value in params.items() if name != STATISTICS}
    return {"params": rest, STATISTICS: params[STATISTICS]}


def tree_of(collections: Any) -> dict[str, Any]:
    """Put the collections of a network into one tree."""
    statistics = collections.get(STATISTICS)
    return dict(collections["params"]) | ({STATISTICS: statistics} if statistics else {})


def with_statistics(params: Any, statistics: Any) -> Any:
    """Return a tree of parameters with other statistics; None: with its own."""
    return params if statistics is None else dict(params) | {STATISTICS: statistics}
