"""The losses of maps of classes by name, and their sums."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.method.losses import WeightedSum, focal_loss, weighted_cross_entropy
from noise2map_jax.method.region_losses import dice_loss, lovasz_softmax_loss

# (logits [B, H, W, K], labels [B, H, W], class_weights [K]) -> numerator and denominator; the
# denominator of all is the sum of the pixels' weights.
ClassLoss = Callable[[jax.Array, jax.Array, jax.Array], WeightedSum]
CLASS_LOSSES: dict[str, ClassLoss] = {
    "cross_entropy": weighted_cross_entropy,
    "focal": focal_loss,
    "dice": dice_loss,
    "lovasz": lovasz_softmax_loss,
}


@functools.cache  # the same sum is the same function, so steps that are alike are compiled once
def sum_of_losses(names: tuple[str, ...]) -> ClassLoss:
    """Return the loss that is the sum of others.

    Args:
        names: keys of `CLASS_LOSSES`, each once.

    Raises:
        UserError: no name, an unknown one, or one twice.
    """
    unknown = [name for name in names if name not in CLASS_LOSSES]
    if unknown or not names or len(set(names)) < len(names):
        raise UserError(
            f"train.losses is {names}; expected one or more of {', '.join(CLASS_LOSSES)}, each"
            " once, such as ('cross_entropy','dice')"
        )
    if len(names) == 1:
        return CLASS_LOSSES[names[0]]

    def loss(logits: jax.Array, labels: jax.Array, class_weights: jax.Array) -> WeightedSum:
        parts = [CLASS_LOSSES[name](logits, labels, class_weights) for name in names]
        return WeightedSum(jnp.sum(jnp.stack([part.total for part in parts])), parts[0].weight)

    return loss
