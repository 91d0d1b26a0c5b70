"""Rematerialization: the backward pass computes activations again instead of keeping them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from noise2map_jax.errors import UserError

Module = Callable[..., nn.Module]


def _convolutions(primitive: Any, *_: Any, **__: Any) -> bool:
    """Keep results of convolutions and matrix products; normalisation and sums are recomputed."""
    return primitive.name in ("conv_general_dilated", "dot_general")


# By policy, a function that wraps a block's module.
POLICIES: dict[str, Callable[[type[nn.Module]], Module]] = {
    "none": lambda module: module,
    "convolutions": lambda module: nn.remat(module, policy=_convolutions),
    "blocks": nn.remat,  # keeps only the inputs of a block, and recomputes the whole block
}


def rematerialized(module: type[nn.Module], policy: str) -> Module:
    """Wrap a module so that it keeps fewer activations; parameters and values stay the same.

    Args:
        module: module of a block of the network, whose arguments are all arrays.
        policy: a key of `POLICIES`.

    Raises:
        UserError: there is no such policy.
    """
    if policy not in POLICIES:
        raise UserError(f"unknown train.remat {policy!r}; expected one of {', '.join(POLICIES)}")
    return POLICIES[policy](module)
