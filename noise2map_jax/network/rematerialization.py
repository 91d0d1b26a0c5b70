"""What the backward pass computes again instead of keeping it: memory against arithmetic."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from noise2map_jax.errors import UserError

Module = Callable[..., nn.Module]


def _convolutions(primitive: Any, *_: Any, **__: Any) -> bool:
    """Keep what convolutions and matrix products give: normalisation and sums come again."""
    return primitive.name in ("conv_general_dilated", "dot_general")


# Each makes of the module of a block one that keeps as much.
POLICIES: dict[str, Callable[[type[nn.Module]], Module]] = {
    "none": lambda module: module,
    "convolutions": lambda module: nn.remat(module, policy=_convolutions),
    "blocks": nn.remat,  # only what goes into a block: it is computed as a whole again
}


def rematerialized(module: type[nn.Module], policy: str) -> Module:
    """Return a module of the same parameters and values.

    Args:
        module: of a block of the network, called with arrays alone.
        policy: a key of `POLICIES`.

    Raises:
        UserError: there is no such policy.
    """
    if policy not in POLICIES:
        raise UserError(f"unknown train.remat {policy!r}; expected one of {', '.join(POLICIES)}")
    return POLICIES[policy](module)
