"""A backbone that is frozen, or learns at a rate of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import tiny_problem

from noise2map_jax.devices import sharding
from noise2map_jax.devices.checkpoint import Checkpoints, abstract_like
from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import init_params
from noise2map_jax.steps import optimizer
from noise2map_jax.steps.train_state import create_train_state, update_ema


def a_tree(seed=0, scale=1.0):
    """Parameters, or gradients, of a backbone and two projections."""
    rng = np.random.default_rng(seed)
    leaf = lambda *shape: jnp.asarray(scale * rng.normal(size=shape), jnp.float32)  # noqa: E731
    return {
        "ss_input_conv": {"kernel": leaf(3, 4)},
        "unet": {"conv_in": {"kernel": leaf(4, 5), "bias": leaf(5)}},
        "ss_output_conv": {"kernel": leaf(5, 2), "bias": leaf(2)},
    }


def updated(tx, params=None, steps=3, keep=lambda new, old: new):
    """Take some steps, each one program as in training; gradients are the same in all tests."""

    @jax.jit
    def update(params, state, gradient):
        updates, state = tx.update(gradient, state, params)
        return keep(optax.apply_updates(params, updates), params), state

    params = a_tree() if params is None else params
    state = tx.init(params)
    for seed in range(1, 1 + steps):
        gradient = {name: a_tree(seed)[name] for name in params}
        params, state = update(params, state, gradient)
    return params, state


def projections(tree):
    return {name: value for name, value in tree.items() if name != "unet"}


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


ADAMS = pytest.mark.parametrize(
    ("name", "options"), [("adam", {}), ("adamw", {}), ("adamw", {"weight_decay": 0.1})]
)


def rate(count):
    return 0.1 / (1 + count)


@ADAMS
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_with_factor_1_it_is_the_plain_chain_of_optax(name, options, clip):
    found = updated(
        optimizer.create_optimizer(
            name, rate, max_gradient_norm=clip, backbone_learning_rate_factor=1.0, **options
        )
    )
    clipping = optax.clip_by_global_norm(clip) if clip else optax.identity()
    if name == "adam":
        plain = expected = updated(optax.chain(clipping, optax.adam(rate)))
    else:
        decay = {"weight_decay": 0.0} | options
        plain = updated(optax.chain(clipping, optax.adamw(rate, **decay)))
        expected = updated(optax.chain(clipping, optax.adamw(rate, **decay, mask=are_kernels)))
    assert jax.tree.structure(found) == jax.tree.structure(plain)  # that of earlier checkpoints
    assert bits(found[0]) == bits(expected[0])
    assert bits(jax.tree.leaves(found[1])) == bits(jax.tree.leaves(expected[1]))


def are_kernels(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


@ADAMS
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_a_frozen_backbone_does_not_move_by_one_bit(name, options, clip):
    options = {"max_gradient_norm": clip, **options}
    tx = optimizer.create_optimizer(name, rate, backbone_learning_rate_factor=0.0, **options)
    params = a_tree()
    moved, _ = updated(tx, params)
    assert bits(moved["unet"]) == bits(params["unet"])
    # What is trained moves as if there were no backbone: also where gradients are clipped.
    alone, _ = updated(optimizer.create_optimizer(name, rate, **options), projections(params))
    for before, a, b in zip(
        *(jax.tree.leaves(projections(tree)) for tree in (params, moved, alone)), strict=True
    ):
        assert not np.any(a == before)
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_frozen_backbone_may_hold_any_number():
    params = a_tree()
    # The first three are not what they were after adding 0, or averaging.
    awkward = jnp.asarray([-0.0, 1e-40, -3e-42, 0.0, 1.0], jnp.float32)
    params["unet"]["conv_in"]["bias"] = awkward
    tx = optimizer.create_optimizer(
        "adamw", rate, weight_decay=0.1, backbone_learning_rate_factor=0.0
    )
    keep = lambda new, old: optimizer.keep_frozen(new, old, 0.0)  # noqa: E731
    moved, _ = updated(tx, params, keep=keep)
    assert bits(moved["unet"]) == bits(params["unet"])

    average = jax.jit(lambda new, old: update_ema(old, new, jnp.int32(5), 0.999))
    averaged = average(moved, params)
    kept = keep(averaged, params)
    assert bits(kept["unet"]) == bits(params["unet"])
    assert bits(projections(kept)) == bits(projections(averaged))
    assert optimizer.keep_frozen(averaged, params, 0.5) is averaged


def test_a_gradient_that_is_not_finite_in_a_frozen_backbone_does_no_harm():
    tx = optimizer.create_optimizer(
        "adam", rate, max_gradient_norm=1.0, backbone_learning_rate_factor=0.0
    )
    params, gradient = a_tree(), a_tree(1)
    gradient["unet"]["conv_in"]["bias"] = jnp.full(5, jnp.nan)
    updates, _ = jax.jit(tx.update)(gradient, tx.init(params), params)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(updates))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(updates["unet"]))


def test_no_state_is_kept_for_a_frozen_backbone():
    params = a_tree()
    frozen = optimizer.create_optimizer("adam", rate, backbone_learning_rate_factor=0.0)
    alone = optimizer.create_optimizer("adam", rate)
    shapes = lambda state: [leaf.shape for leaf in jax.tree.leaves(state)]  # noqa: E731
    assert shapes(frozen.init(params)) == shapes(alone.init(projections(params)))


def test_clipping_counts_all_that_is_trained():
    def first_moments(factor):
        tx = optimizer.create_optimizer(
            "adam", rate, max_gradient_norm=1.0, backbone_learning_rate_factor=factor
        )
        params, gradient = a_tree(), a_tree(1)
        _, state = jax.jit(tx.update)(gradient, tx.init(params), params)
        moments = optax.tree.get_all_with_path(state, "mu")
        return optax.tree.norm([jax.tree.leaves(mu) for _, mu in moments])

    # After one step they are 0.1 times the clipped gradient.
    for factor in (1.0, 0.5, 0.0):
        np.testing.assert_allclose(first_moments(factor), 0.1, rtol=1e-5)


@ADAMS
def test_a_factor_scales_the_learning_rate_of_the_backbone(name, options):
    def moved(factor):
        tx = optimizer.create_optimizer(name, rate, backbone_learning_rate_factor=factor, **options)
        params = a_tree()
        updates, _ = jax.jit(tx.update)(a_tree(1), tx.init(params), params)
        return updates

    whole, half = moved(1.0), moved(0.5)
    assert bits(projections(half)) == bits(projections(whole))
    assert bits(half["unet"]) == bits(jax.tree.map(lambda u: 0.5 * u, whole["unet"]))


def test_a_factor_follows_the_schedule():
    rate = optimizer.learning_rate_schedule(1.0, 20, warmup_steps=10, cosine=True)
    tx = optimizer.create_optimizer("adam", rate, backbone_learning_rate_factor=0.25)
    params, state = jax.tree.map(jnp.ones_like, a_tree()), tx.init(a_tree())
    gradient = params
    for i in range(20):
        updates, state = tx.update(gradient, state, params)
        # Of a gradient that is always 1 Adam makes the learning rate.
        np.testing.assert_allclose(
            updates["unet"]["conv_in"]["bias"], -0.25 * rate(i) * np.ones(5), rtol=1e-3
        )
        np.testing.assert_allclose(
            updates["ss_output_conv"]["bias"], -rate(i) * np.ones(2), rtol=1e-3
        )


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_a_state_with_groups_can_be_saved_and_gone_on_from(tmp_path, factor):
    tx = optimizer.create_optimizer(
        "adamw", rate, weight_decay=0.1, backbone_learning_rate_factor=factor
    )
    params, opt_state = updated(tx)
    state = create_train_state(params, tx, use_ema=True).replace(opt_state=opt_state)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save_latest(3, state)
    checkpoints.close()

    again = Checkpoints(tmp_path / "checkpoints")
    placed = sharding.replicated(sharding.create_mesh())
    found = again.restore_latest(abstract_like(state, placed))
    assert jax.tree.structure(found) == jax.tree.structure(state)
    assert bits(found) == bits(state)
    other = create_train_state(params, optimizer.create_optimizer("adamw", rate), use_ema=True)
    with pytest.raises(UserError, match="to another architecture"):
        again.restore_latest(abstract_like(other, placed))
    again.close()


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_the_backbone_is_what_is_called_unet(task):
    model = tiny_problem(task).model
    params = jax.eval_shape(lambda key: init_params(model, key, 16), jax.random.key(0))
    groups = optimizer.parameter_groups(params)
    assert jax.tree.structure(groups) == jax.tree.structure(params)
    assert set(jax.tree.leaves(groups["unet"])) == {"backbone"}
    assert set(jax.tree.leaves(projections(groups))) == {"projections"}


def test_only_a_frozen_backbone_loses_its_gradient():
    gradient = a_tree()
    for factor in (1.0, 0.1):
        assert optimizer.trainable(gradient, factor) is gradient
    left = optimizer.trainable(gradient, 0.0)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(left["unet"]))
    assert bits(projections(left)) == bits(projections(gradient))
    np.testing.assert_allclose(
        optax.tree.norm(left), optax.tree.norm(projections(gradient)), rtol=1e-6
    )


def test_a_frozen_backbone_costs_no_arithmetic_of_its_gradient():
    x = jnp.ones((32, 3))

    def loss(params):
        h = x @ params["ss_input_conv"]["kernel"]
        h = jnp.tanh(h @ params["unet"]["conv_in"]["kernel"])
        return jnp.sum(h @ params["ss_output_conv"]["kernel"])

    params = {
        "ss_input_conv": {"kernel": jnp.ones((3, 64))},
        "unet": {"conv_in": {"kernel": jnp.ones((64, 64))}},
        "ss_output_conv": {"kernel": jnp.ones((64, 2))},
    }

    def operations(factor):
        def norm(params):
            return optax.tree.norm(optimizer.trainable(jax.grad(loss)(params), factor))

        return jax.jit(norm).lower(params).compile().cost_analysis()["flops"]

    assert operations(1.0) - operations(0.0) > 2 * 32 * 64 * 64  # the gradient of its one kernel
