"""Losses as sums with their weights, so that shards and micro-batches add up before division."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

IGNORE = 255


class WeightedSum(NamedTuple):
    """A loss as numerator and denominator; the loss itself is `total / weight`.

    A mean of means is wrong if parts weigh differently (ignored pixels, class weights), so parts
    are added first and divided once.
    """

    total: jax.Array  # []
    weight: jax.Array  # []


def pixel_weights(labels: jax.Array, class_weights: jax.Array) -> jax.Array:
    """Return the class weight of each pixel; 0 if its label is not a class.

    Args:
        labels: [...] uint8 or int, class indices; 255 and all other values >= K are ignored.
        class_weights: [K] float32.

    Returns:
        [...] float32.
    """
    valid = labels < class_weights.shape[0]
    return jnp.where(valid, class_weights[jnp.where(valid, labels, 0)], 0.0)


def weighted_cross_entropy(
    logits: jax.Array, labels: jax.Array, class_weights: jax.Array
) -> WeightedSum:
    """Compute the cross-entropy with class weights w_k; labels that are not classes weigh 0.

    loss = sum_i w[y_i] * -log softmax(logits_i)[y_i] / sum_i w[y_i], over pixels i with
    y_i < K: the mean of PyTorch's `CrossEntropyLoss(weight=w, ignore_index=255)`.

    Args:
        logits: [..., K] float; converted to float32.
        labels: [...] uint8 or int, class indices; 255 and all other values >= K are ignored.
        class_weights: [K] float32.

    Returns:
        Numerator and denominator. The denominator is 0 when every pixel is ignored.

    Raises:
        AssertionError: other shapes, which would broadcast: labels [B, H, W, 1], fewer weights.
    """
    weights, log_probs = _of_labels(logits, labels, class_weights)
    return WeightedSum(-jnp.sum(weights * log_probs), jnp.sum(weights))


def focal_loss(logits: jax.Array, labels: jax.Array, class_weights: jax.Array) -> WeightedSum:
    """Compute the focal loss (Lin et al. 2017, equation 5, gamma = 2) with class weights w_k.

    loss = sum_i w[y_i] * (1 - p_i)^2 * -log p_i / sum_i w[y_i], where p_i is the probability of
    the label: pixels that the network is sure of count little.

    Args, returns and errors are those of `weighted_cross_entropy`.
    """
    weights, log_probs = _of_labels(logits, labels, class_weights)
    doubt = jnp.square(-jnp.expm1(log_probs))
    return WeightedSum(-jnp.sum(weights * doubt * log_probs), jnp.sum(weights))


def _of_labels(
    logits: jax.Array, labels: jax.Array, class_weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return each pixel's weight and the logarithm of its label's probability, [...] float32."""
    chex.assert_shape(labels, logits.shape[:-1])
    chex.assert_shape(class_weights, logits.shape[-1:])
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32)  # 255 -> zeros
    return pixel_weights(labels, class_weights), jnp.sum(one_hot * log_probs, axis=-1)


def squared_errors(outputs: jax.Array, targets: jax.Array, valid: jax.Array) -> WeightedSum:
    """Compute the squared error of each image: the denoising loss (Ho et al. 2020, equation 14).

    Args:
        outputs: [B, H, W, C] float; converted to float32.
        targets: [B, H, W, C] float32.
        valid: [B, H, W] bool, True for pixels that count; False for padding and no-data.

    Returns:
        Numerators and denominators (the number of valid values), [B] each.

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
    """Compute weights with which every class counts the same: w_k = N / (K * n_k).

    Args:
        class_pixels: [K] number of training pixels of each class; classes without any get 0.

    Returns:
        [K] float32; 1 for all when the classes are equally frequent.
    """
    counts = jnp.asarray(class_pixels, jnp.float32)
    balanced = jnp.sum(counts) / (counts.shape[0] * jnp.maximum(counts, 1.0))
    return jnp.where(counts > 0, balanced, 0.0)
