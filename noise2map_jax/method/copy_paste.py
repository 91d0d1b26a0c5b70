"""Augmentation with the foreground of other records (Ghiasi et al. 2021, "Simple Copy-Paste")."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from noise2map_jax.method.losses import IGNORE

PASTED = ("image", "post", "mask")  # a building that is new was not there before: `pre` stays


def copy_paste(batch: Mapping[str, jax.Array], chosen: jax.Array) -> dict[str, jax.Array]:
    """Paste the foreground of the next record of a batch into the chosen records.

    Of pairs, the later date and the mask take it; the earlier date stays. That is right where every
    change is a new building, and wrong for demolished or damaged ones.
    Pixels without a label keep theirs.

    Args:
        batch: arrays [B, S, S, *]: `mask` with classes, and images.
        chosen: [B] bool.

    Returns:
        The batch with the same keys, shapes and types.
    """
    mask = batch["mask"]
    donor = jnp.roll(mask, -1, axis=0)
    pasted = (donor > 0) & (donor != IGNORE) & (mask != IGNORE) & chosen[:, None, None, None]
    return {
        name: jnp.where(pasted, jnp.roll(images, -1, axis=0), images) if name in PASTED else images
        for name, images in batch.items()
    }
