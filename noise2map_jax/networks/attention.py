"""Attention with several heads (Vaswani et al. 2017)."""

from typing import Any

import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import Dropout
from noise2map_jax.networks.training import Training


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    num_heads: int,
    scale: float | None = None,
    bias: jax.Array | None = None,
    dropout: Dropout | None = None,
    training: Training | None = None,
) -> jax.Array:
    """Return for every query the average of values, weighted by the likeness of keys.

    Args:
        query: [B, Q, D]; the heads' parts follow one another on the last axis.
        key: [B, K, D].
        value: [B, K, E].
        num_heads: number of heads; it divides D and E.
        scale: factor of products before the softmax; None: 1 / sqrt(D / num_heads).
        bias: [num_heads, Q, K], added to the products before the softmax.
        dropout: of the weights, in training.
        training: see `Training`.

    Returns:
        [B, Q, E] of the type of `value`; the softmax is float32.

    Raises:
        UserError: the number of heads does not divide D.
    """
    if query.shape[-1] % num_heads:
        raise UserError(
            f"attention of {query.shape[-1]} channels cannot have {num_heads} equal heads; "
            "take a number of heads that divides the channels"
        )
    query, key, value = (_heads(x, num_heads) for x in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    float32: Any = {"preferred_element_type": jnp.float32}
    logits = scale * jnp.einsum("bqhd,bkhd->bhqk", query, key, **float32)
    if bias is not None:
        logits += bias[None].astype(jnp.float32)
    weights = jax.nn.softmax(logits).astype(value.dtype)
    if dropout is not None:
        weights = dropout(weights, training)
    mean = jnp.einsum("bhqk,bkhe->bqhe", weights, value)
    return mean.reshape(*mean.shape[:2], -1)


def _heads(x: jax.Array, num_heads: int) -> jax.Array:
    return x.reshape(*x.shape[:2], num_heads, -1)
