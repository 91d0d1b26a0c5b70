"""The two dates of a pair, and encoders that see each of them (Siamese networks)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.training import Training


def split_dates(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Split a pair [B, H, W, 2C] into the earlier and the later image, [B, H, W, C] each.

    Raises:
        UserError: the number of channels is odd.
    """
    channels = x.shape[-1]
    if channels % 2:
        raise UserError(
            f"a network for pairs got {channels} channels; expected the bands of two dates, "
            "an even number"
        )
    return x[..., : channels // 2], x[..., channels // 2 :]


def encode_dates(
    encode: Callable[[jax.Array, Training | None], Any], x: jax.Array, training: Training | None
) -> tuple[Any, Any]:
    """Encode each date of a pair with the same layers, in one pass over 2B images.

    It gives what two calls would give, the earlier date first: each date has its own dropout and,
    in training, its own batch statistics, and running statistics are updated twice.

    Args:
        encode: the encoder, `(images, training)` -> tree of arrays whose first axis is that of
            the images.
        x: a pair [B, H, W, 2C].
        training: as in a call of a network.

    Returns:
        What `encode` gives for the earlier and for the later date.

    Raises:
        UserError: the number of channels is odd.
    """
    images = jnp.concatenate(split_dates(x))
    encoded = encode(images, None if training is None else training.repeated(2))
    pre, post = (
        jax.tree.map(lambda a, date=date: jnp.split(a, 2)[date], encoded) for date in (0, 1)
    )
    return pre, post
