import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from noise2map_jax.method.region_losses import dice_loss, lovasz_softmax_loss

LOSSES = (dice_loss, lovasz_softmax_loss)
COMPILED = {loss: jax.jit(loss) for loss in LOSSES}
SIDE, K = 3, 3
LABELS = arrays.arrays(np.uint8, (2, SIDE, SIDE), elements=st.sampled_from([0, 1, 2, 255]))
LOGITS = arrays.arrays(np.float32, (2, SIDE, SIDE, K), elements=st.floats(-4, 4, width=16))


def logits_of(probs):
    return jnp.log(jnp.asarray(probs, jnp.float32))


def mean(loss, logits, labels, weights=(1.0, 1.0, 1.0)):
    total, weight = loss(jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(weights))
    return total / weight


def test_dice_of_a_hand_computed_image():
    probs = [[[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.8, 0.2]]]]
    labels = np.array([[[1, 1, 0, 255]]], np.uint8)
    # p y = 0.75 + 0.5; p + y = 0.75 + 0.5 + 0.1 + 2; the last pixel is ignored.
    expected = 1 - (2 * 1.25 + 1) / (3.35 + 1)
    np.testing.assert_allclose(
        mean(dice_loss, logits_of(probs), labels, (1.0, 1.0)), expected, rtol=1e-6
    )


def test_lovasz_of_a_hand_computed_image():
    """Berman et al. 2018, equation 9: errors in falling order, times the growth of 1 - IoU."""
    probs = [[[[0.3, 0.7], [0.6, 0.4], [0.8, 0.2]]]]
    labels = np.array([[[1, 1, 0]]], np.uint8)
    # Class 1: errors 0.6 (of 1), 0.3 (of 1), 0.2 (of 0); 1 - IoU grows to 1/2, 2/2, 2/2 of two.
    of_one = 0.6 * (1 / 2) + 0.3 * (1 / 2)
    # Class 0: errors 0.6 (not of 0), 0.3 (not of 0), 0.2 (of 0); 1 - IoU grows to 1/2, 2/3, 1.
    of_zero = 0.6 * (1 / 2) + 0.3 * (2 / 3 - 1 / 2) + 0.2 * (1 - 2 / 3)
    np.testing.assert_allclose(
        mean(lovasz_softmax_loss, logits_of(probs), labels, (1.0, 1.0)),
        (of_one + of_zero) / 2,
        rtol=1e-6,
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sure_and_right_map_costs_nothing_and_a_wrong_one_all(loss):
    labels = np.array([[[0, 1], [2, 1]]], np.uint8)
    right = 100.0 * jax.nn.one_hot(labels, K)
    assert mean(loss, right, labels) < 1e-6
    wrong = 100.0 * jax.nn.one_hot((labels + 1) % K, K)
    expected = {dice_loss: 1 - 1 / 4, lovasz_softmax_loss: 1.0}[loss]
    np.testing.assert_allclose(mean(loss, wrong, labels), expected, rtol=1e-6)


def lovasz_by_sets(probs, labels):
    """The extension of 1 - IoU by its definition: a sum over growing sets of wrong pixels."""
    found = []
    for k in sorted({int(y) for y in labels if y < K}):
        valid = labels < K
        truth, errors = labels[valid] == k, np.abs((labels == k) - probs[:, k])[valid]
        order, value, before, wrong = np.argsort(-errors, kind="stable"), 0.0, 0.0, set()
        for pixel in order:
            wrong.add(pixel)
            missed = [p in wrong for p in range(len(truth))]
            predicted = truth ^ np.array(missed)
            now = 1 - (truth & predicted).sum() / (truth | predicted).sum()
            value += errors[pixel] * (now - before)
            before = now
        found.append(value)
    return np.mean(found) if found else 0.0


@settings(deadline=None, max_examples=25)
@given(LOGITS, LABELS)
def test_lovasz_is_the_extension_by_sets(logits, labels):
    probs = np.asarray(jax.nn.softmax(logits, axis=-1), np.float64).reshape(2, -1, K)
    flat = labels.reshape(2, -1)
    weights = (flat < K).sum(axis=1)
    each = [lovasz_by_sets(p, y) for p, y in zip(probs, flat, strict=True)]
    total, weight = COMPILED[lovasz_softmax_loss](logits, labels, np.ones(K, np.float32))
    np.testing.assert_allclose(total, np.dot(weights, each), rtol=1e-4, atol=1e-5)
    assert weight == weights.sum()


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None, max_examples=15)
@given(logits=LOGITS, labels=LABELS)
def test_sums_over_images_are_those_of_the_batch(loss, logits, labels):
    weights, loss = np.array([1.0, 2.0, 3.0], np.float32), COMPILED[loss]
    whole = loss(logits, labels, weights)
    parts = [loss(logits[i : i + 1], labels[i : i + 1], weights) for i in range(2)]
    np.testing.assert_allclose(whole.total, parts[0].total + parts[1].total, rtol=1e-5, atol=1e-6)
    assert whole.weight == parts[0].weight + parts[1].weight


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_change_neither_loss_nor_gradient(loss):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(1, 4, 4, K)), rng.integers(0, K, (1, 4, 4)).astype(np.uint8)
    labels[0, :2] = 255
    gradient = jax.grad(lambda x: mean(loss, x, labels))(jnp.asarray(logits, jnp.float32))
    assert not np.any(gradient[0, :2])
    assert np.all(np.any(gradient[0, 2:], axis=-1))
    other = logits.copy()
    other[0, :2] = 9 * rng.normal(size=(2, 4, K))
    np.testing.assert_allclose(mean(loss, logits, labels), mean(loss, other, labels), rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_everything_ignored_weighs_nothing(loss):
    labels = jnp.full((1, 2, 2), 255, jnp.uint8)

    def total(logits):
        return loss(logits, labels, jnp.ones(K)).total

    value, gradient = jax.value_and_grad(total)(jnp.zeros((1, 2, 2, K)))
    assert value == 0
    assert not np.any(gradient)
    assert loss(jnp.zeros((1, 2, 2, K)), labels, jnp.ones(K)).weight == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_other_shapes_are_refused(loss):
    with pytest.raises(AssertionError):
        loss(jnp.zeros((1, 2, 2, K)), jnp.zeros((1, 2, 2, 1), jnp.uint8), jnp.ones(K))
