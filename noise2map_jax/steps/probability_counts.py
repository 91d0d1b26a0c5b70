"""How good probabilities are: sums over the pixels of a batch, at several temperatures."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

NUM_BINS = 1000


class ProbabilityCounts(NamedTuple):
    """Sums over the pixels that have a label.

    Attributes:
        histogram: [2, NUM_BINS] int32: pixels whose label is class 0, and those of other classes,
            by their P(foreground) = 1 - P(class 0). Bin k begins at k / NUM_BINS, and the last
            holds 1 too.
        squared_error: [] float32, of P(foreground) against 1 where the label is not class 0, and 0
            where it is.
        log_likelihood: [] float32, the natural logarithm of the label's probability.
    """

    histogram: Any
    squared_error: Any
    log_likelihood: Any


def at_temperature(log_probs: jax.Array, temperature: Any) -> jax.Array:
    """Return the logarithm of probabilities at a temperature T (Guo et al. 2017, equation 9).

    p_k(T) is p_k^(1 / T), divided by the sum over classes: above 1, the network is less sure. The
    most probable class stays the same.

    Args:
        log_probs: [..., K] float32.
        temperature: T > 0.
    """
    return jax.nn.log_softmax(log_probs / temperature, axis=-1)


def log_likelihood(log_probs: jax.Array, labels: jax.Array) -> jax.Array:
    """Sum the logarithms of the labels' probabilities, [] float32; see `probability_counts`."""
    one_hot = jax.nn.one_hot(labels, log_probs.shape[-1], dtype=jnp.float32)  # ignored -> zeros
    return jnp.sum(one_hot * log_probs, where=one_hot > 0)


def probability_counts(log_probs: jax.Array, labels: jax.Array) -> ProbabilityCounts:
    """Count the pixels of a batch.

    Args:
        log_probs: [B, H, W, K] float32, logarithms of the probabilities.
        labels: [B, H, W] uint8 or int; values >= K are ignored.
    """
    valid = labels < log_probs.shape[-1]
    foreground, truth = -jnp.expm1(log_probs[..., 0]), labels > 0
    bins = jnp.clip(jnp.floor(foreground * NUM_BINS).astype(jnp.int32), 0, NUM_BINS - 1)
    places = jnp.where(valid, truth * NUM_BINS + bins, 2 * NUM_BINS)
    counts = jnp.zeros(2 * NUM_BINS + 1, jnp.int32).at[places.reshape(-1)].add(1)
    return ProbabilityCounts(
        counts[:-1].reshape(2, NUM_BINS),
        jnp.sum(jnp.square(foreground - truth), where=valid),
        log_likelihood(log_probs, labels),
    )
