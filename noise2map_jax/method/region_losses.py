"""Losses of whole images, near to the scores that maps are judged by: Dice, Lovász-Softmax.

Each image has a loss of its own; a batch's is their mean, where an image weighs as much as its
pixels do in the cross-entropy. So the sums over micro-batches and devices are those of the batch,
and a region loss can be added to a loss of pixels.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from noise2map_jax.method.losses import WeightedSum, pixel_weights

SMOOTHING = 1.0  # pixels; without a pixel of a class, its Dice loss still has a gradient


def dice_loss(logits: jax.Array, labels: jax.Array, class_weights: jax.Array) -> WeightedSum:
    """Compute the soft Dice loss of the foreground (Milletari et al. 2016, without squares).

    loss of an image = 1 - mean over classes k >= 1 of (2 sum p_k y_k + 1) / (sum p_k + sum y_k + 1)

    Args:
        logits: [B, H, W, K] float; converted to float32.
        labels: [B, H, W] uint8 or int; 255 and all other values >= K are ignored.
        class_weights: [K] float32; they only say how much an image weighs.

    Returns:
        Numerator and denominator.

    Raises:
        AssertionError: other shapes.
    """
    return _mean_over_images(_image_dice, logits, labels, class_weights)


def lovasz_softmax_loss(
    logits: jax.Array, labels: jax.Array, class_weights: jax.Array
) -> WeightedSum:
    """Compute the Lovász-Softmax loss of each image (Berman et al. 2018, equation 11).

    It extends 1 - IoU to probabilities; the mean is over the classes that the image's labels have.

    Args, returns and errors are those of `dice_loss`.
    """
    return _mean_over_images(_image_lovasz, logits, labels, class_weights)


def _mean_over_images(
    loss_of_image: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    logits: jax.Array,
    labels: jax.Array,
    class_weights: jax.Array,
) -> WeightedSum:
    chex.assert_rank(logits, 4)
    chex.assert_shape(labels, logits.shape[:-1])
    chex.assert_shape(class_weights, logits.shape[-1:])
    num_classes = logits.shape[-1]
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    one_hot = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
    valid = labels < num_classes
    losses = jax.vmap(loss_of_image)(
        probs.reshape(len(probs), -1, num_classes),
        one_hot.reshape(len(probs), -1, num_classes),
        valid.reshape(len(probs), -1),
    )
    weights = jnp.sum(pixel_weights(labels, class_weights), axis=(1, 2))
    return WeightedSum(jnp.sum(weights * losses), jnp.sum(weights))


def _image_dice(probs: jax.Array, one_hot: jax.Array, valid: jax.Array) -> jax.Array:
    p = (probs * valid[:, None])[:, 1:]
    y = one_hot[:, 1:]
    common, all_of_both = jnp.sum(p * y, axis=0), jnp.sum(p, axis=0) + jnp.sum(y, axis=0)
    return 1 - jnp.mean((2 * common + SMOOTHING) / (all_of_both + SMOOTHING))


def _image_lovasz(probs: jax.Array, one_hot: jax.Array, valid: jax.Array) -> jax.Array:
    # Ignored pixels come last, with an error of 0: nothing of them is left in the sum.
    errors = jnp.where(valid[:, None], jnp.abs(one_hot - probs), -1.0)
    ascending, truth = jax.lax.sort((-errors, one_hot), dimension=0, num_keys=1)
    present = jnp.sum(one_hot, axis=0, keepdims=True)
    common = present - jnp.cumsum(truth, axis=0)
    union = present + jnp.cumsum(1 - truth, axis=0)
    jaccard = 1 - common / union
    slope = jnp.diff(jaccard, axis=0, prepend=0.0)
    of_class = jnp.sum(jnp.maximum(-ascending, 0.0) * jax.lax.stop_gradient(slope), axis=0)
    has = present[0] > 0
    return jnp.sum(of_class, where=has) / jnp.maximum(jnp.sum(has), 1)
