import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.method import losses


def test_cross_entropy_of_a_hand_computed_case():
    # Two pixels of class 0 and 1 with probabilities 3/4 and 1/2 of being right; weights 1 and 5.
    logits = jnp.log(jnp.array([[[0.75, 0.25], [0.5, 0.5]]]))
    labels = jnp.array([[0, 1]], jnp.uint8)
    total, weight = losses.weighted_cross_entropy(logits, labels, jnp.array([1.0, 5.0]))
    np.testing.assert_allclose(total, -np.log(0.75) - 5 * np.log(0.5), rtol=1e-6)
    assert weight == 6


def test_ignored_pixels_change_neither_loss_nor_gradient():
    logits = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    labels = jax.random.randint(jax.random.key(1), (2, 4, 4), 0, 3).astype(jnp.uint8)
    labels = labels.at[1].set(losses.IGNORE)
    weights = jnp.array([1.0, 2.0, 3.0])

    def loss(logits):
        total, weight = losses.weighted_cross_entropy(logits, labels, weights)
        return total / weight

    alone = losses.weighted_cross_entropy(logits[:1], labels[:1], weights)
    np.testing.assert_allclose(loss(logits), alone.total / alone.weight, rtol=1e-6)
    gradient = jax.grad(loss)(logits)
    assert np.all(np.asarray(gradient[1]) == 0)
    assert np.any(np.asarray(gradient[0]) != 0)


def test_everything_ignored_weighs_nothing():
    labels = jnp.full((1, 2, 2), losses.IGNORE, jnp.uint8)
    result = losses.weighted_cross_entropy(jnp.ones((1, 2, 2, 2)), labels, jnp.ones(2))
    assert (result.total, result.weight) == (0, 0)


@settings(deadline=None, max_examples=30)
@given(cut=st.integers(1, 7), seed=st.integers(0, 100))
def test_parts_add_up_to_the_whole(cut, seed):
    keys = jax.random.split(jax.random.key(seed), 2)
    logits = jax.random.normal(keys[0], (8, 3, 3, 2))
    labels = jax.random.choice(keys[1], jnp.array([0, 1, 255], jnp.uint8), (8, 3, 3))
    weights = jnp.array([1.0, 4.0])
    whole = losses.weighted_cross_entropy(logits, labels, weights)
    first = losses.weighted_cross_entropy(logits[:cut], labels[:cut], weights)
    second = losses.weighted_cross_entropy(logits[cut:], labels[cut:], weights)
    np.testing.assert_allclose(first.total + second.total, whole.total, rtol=1e-5)
    np.testing.assert_allclose(first.weight + second.weight, whole.weight)


def test_bfloat16_logits_are_reduced_in_float32():
    logits = jnp.zeros((1, 300, 300, 2), jnp.bfloat16)
    total, weight = losses.weighted_cross_entropy(
        logits, jnp.zeros((1, 300, 300), jnp.uint8), jnp.ones(2)
    )
    np.testing.assert_allclose(total / weight, np.log(2), rtol=1e-5)


def test_labels_that_are_no_class_weigh_nothing():
    logits = jnp.log(jnp.array([[[0.75, 0.25], [0.5, 0.5], [0.1, 0.9]]]))
    for stray in (2, 7, 254, 255):
        labels = jnp.array([[0, 1, stray]], jnp.uint8)
        total, weight = losses.weighted_cross_entropy(logits, labels, jnp.array([1.0, 5.0]))
        np.testing.assert_allclose(total, -np.log(0.75) - 5 * np.log(0.5), rtol=1e-6)
        assert weight == 6


def test_squared_errors_are_those_of_pixels_that_count():
    outputs = jnp.array([[[[1.0, 3.0], [9.0, 9.0]]], [[[2.0, 2.0], [2.0, 1.0]]]])  # [2, 1, 2, 2]
    targets = jnp.array([[[[0.0, 1.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    valid = jnp.array([[[True, False]], [[True, True]]])
    total, weight = losses.squared_errors(outputs, targets, valid)
    np.testing.assert_array_equal(total, [1 + 4, 4 + 4 + 4 + 1])
    np.testing.assert_array_equal(weight, [2, 4])


def test_every_channel_of_a_pixel_counts():
    zeros = jnp.zeros((3, 1, 2, 5))
    _, weight = losses.squared_errors(zeros, zeros, jnp.ones((3, 1, 2), bool))
    np.testing.assert_array_equal(weight, [10, 10, 10])


def test_what_is_ignored_has_the_label_that_is_in_the_files():
    assert losses.IGNORE == 255


def test_balanced_weights_give_every_class_the_same_share():
    counts = jnp.array([90.0, 10.0, 0.0])
    weights = losses.balanced_class_weights(counts)
    np.testing.assert_allclose(weights * counts, [100 / 3, 100 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(losses.balanced_class_weights(jnp.array([7, 7])), [1, 1])


def test_balanced_weights_of_numbers_worked_by_hand():
    # N = 4 pixels, K = 3 classes: 4 / (3 * 3), 4 / (3 * 1), and none.
    weights = losses.balanced_class_weights(jnp.array([3, 1, 0]))
    np.testing.assert_allclose(weights, [4 / 9, 4 / 3, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "num_weights"),
    [((1, 4, 4, 1), 2), ((4, 4), 2), ((1, 4, 4), 1), ((1, 4, 4), 3)],
)
def test_labels_and_weights_that_would_broadcast_are_refused(labels, num_weights):
    logits = jnp.zeros((1, 4, 4, 2))
    with pytest.raises(AssertionError, match="shape"):
        losses.weighted_cross_entropy(logits, jnp.zeros(labels, int), jnp.ones(num_weights))


@pytest.mark.parametrize(
    ("targets", "valid"), [((2, 4, 4, 1), (2, 4, 4)), ((2, 4, 4, 3), (2, 4, 4, 1))]
)
def test_targets_that_would_broadcast_are_refused(targets, valid):
    with pytest.raises(AssertionError, match="shape"):
        losses.squared_errors(jnp.zeros((2, 4, 4, 3)), jnp.zeros(targets), jnp.ones(valid, bool))


def test_focal_loss_of_a_hand_computed_case():
    logits = jnp.log(jnp.array([[[0.75, 0.25], [0.5, 0.5], [0.9, 0.1]]]))
    labels = jnp.array([[0, 1, losses.IGNORE]], jnp.uint8)
    total, weight = losses.focal_loss(logits, labels, jnp.array([1.0, 5.0]))
    expected = -(0.25**2) * np.log(0.75) - 5 * 0.5**2 * np.log(0.5)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert weight == 6


def test_focal_loss_has_a_finite_gradient_where_the_network_is_sure():
    logits = jnp.array([[[60.0, -60.0], [-60.0, 60.0]]])
    labels = jnp.array([[0, 0]], jnp.uint8)
    gradient = jax.grad(lambda x: losses.focal_loss(x, labels, jnp.ones(2)).total)(logits)
    assert np.all(np.isfinite(gradient))
