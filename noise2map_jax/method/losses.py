"""Losses as sums with their weights: those of shards and micro-batches are added, then divided."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

IGNORE = 255


class WeightedSum(NamedTuple):
    """A loss as numerator and denominator; the loss itself is `total / weight`.

    Means of means are wrong when parts weigh differently (ignored pixels, class weights): parts
    are added first and divided once.
    """

    total: jax.Array  # []
    weight: jax.Array  # []


def pixel_weights(labels: jax.Array, class_weights: jax.Array) -> jax.Array:
    """Return the class weight of each pixel, 0 where its label is no class.

    Args:
        labels: [...] uint8 or int, class indices; 255 = ignore, as is every other value from K.
        class_weights: [K] float32.

    Returns:
        [...] float32.
    """
    valid = labels < class_weights.shape[0]
    return jnp.where(valid, class_weights[jnp.where(valid, labels, 0)], 0.0)


def weighted_cross_entropy(
    logits: jax.Array, labels: jax.Array, class_weights: jax.Array
) -> WeightedSum:
    """Cross-entropy in which class k weighs w_k, and a label that is no class nothing.

    loss = sum_i w[y_i] * -log softmax(logits_i)[y_i] / sum_i w[y_i], over pixels i with
    y_i < K: the mean of PyTorch's `CrossEntropyLoss(weight=w, ignore_index=255)`.

    Args:
        logits: [..., K] float; taken to float32.
        labels: [...] uint8 or int, class indices; 255 = ignore, as is every other value from K.
        class_weights: [K] float32.

    Returns:
        Numerator and denominator. The denominator is 0 when every pixel is ignored.

    Raises:
        AssertionError: other shapes, which would broadcast: labels [B, H, W, 1], fewer weights.
    """
    chex.assert_shape(labels, logits.shape[:-1])
    chex.assert_shape(class_weights, logits.shape[-1:])
    weights = pixel_weights(labels, class_weights)
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32)  # 255 -> zeros
    return WeightedSum(-jnp.sum(weights[..., None] * one_hot * log_probs), jnp.sum(weights))


def squared_errors(outputs: jax.Array, targets: jax.Array, valid: jax.Array) -> WeightedSum:
    """Squared error of each image: the loss of denoising (Ho et al. 2020, equation 14).

    Args:
        outputs: [B, H, W, C] float; taken to float32.
        targets: [B, H, W, C] float32.
        valid: [B, H, W] bool, whether a pixel counts; padding and no-data do not.

    Returns:
        Numerators and denominators (the numbers of values that count), [B] each.

    Raises:
        AssertionError: other shapes, which would broadcast.
    """
    chex.assert_rank(outputs, 4)
    chex.assert_equal_shape([outputs, targets])
    chex.assert_shape(valid, outputs.shape[:-1])
    errors = jnp.square(outputs.astype(jnp.float32) - targets)
    return WeightedSum(
        jnp.sum(errors, axis=(1, 2, 3), where=valid[..., None]),
        jnp.sum(valid, axis=(1, 2), dtype=jnp.float32) * errors.shape[-1],
    )


def balanced_class_weights(class_pixels: jax.Array) -> jax.Array:
    """Weights that let every class count the same: w_k = N / (K * n_k).

    Args:
        class_pixels: [K] number of training pixels of each class; classes without any get 0.

    Returns:
        [K] float32; 1 for all when the classes are equally frequent.
    """
    counts = jnp.asarray(class_pixels, jnp.float32)
    balanced = jnp.sum(counts) / (counts.shape[0] * jnp.maximum(counts, 1.0))
    return jnp.where(counts > 0, balanced, 0.0)
