import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import UNET

from noise2map_jax.errors import UserError
from noise2map_jax.network.unet import UNet
from noise2map_jax.steps import optimizer


def test_warm_up_rises_to_the_peak_and_a_cosine_falls_to_zero():
    rate = optimizer.learning_rate_schedule(1.0, 110, warmup_steps=10, cosine=True)
    np.testing.assert_allclose([rate(i) for i in range(10)], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose([rate(10), rate(60), rate(110)], [1, 0.5, 0], atol=1e-6)


def test_without_options_the_rate_is_constant():
    rate = optimizer.learning_rate_schedule(0.3, 10, warmup_steps=0, cosine=False)
    assert rate(0) == rate(9) == 0.3


def step(name, gradient, **options):
    tx = optimizer.create_optimizer(name, lambda count: 0.1, **options)
    params = {"kernel": jnp.array([10.0])}
    updates, _ = tx.update({"kernel": jnp.array([gradient])}, tx.init(params), params)
    return float(updates["kernel"][0])


def test_adam_moves_by_the_rate_and_adamw_decays():
    np.testing.assert_allclose(step("adam", 3.0), -0.1, rtol=1e-5)
    np.testing.assert_allclose(step("adamw", 3.0, weight_decay=0.5), -0.1 - 0.5, rtol=1e-5)


def test_clipping_bounds_the_gradient_that_adam_remembers():
    tx = optimizer.create_optimizer("adam", lambda count: 0.1, max_gradient_norm=1.0)
    params = jnp.array([0.0])
    state = tx.init(params)
    _, state = tx.update(jnp.array([1000.0]), state, params)
    np.testing.assert_allclose(state[1][0].mu, [0.1], rtol=1e-5)
    tx = optimizer.create_optimizer("adam", lambda count: 0.1)  # by default nothing is clipped
    _, state = tx.update(jnp.array([1000.0]), tx.init(params), params)
    assert any(np.allclose(leaf, 100.0) for leaf in jax.tree.leaves(state))


def test_a_run_of_no_step_or_one_has_a_rate():
    assert optimizer.learning_rate_schedule(0.3, 0, warmup_steps=0, cosine=False)(0) == 0.3
    assert optimizer.learning_rate_schedule(0.3, 1, warmup_steps=0, cosine=False)(0) == 0.3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: step("sgdd", 1.0), "'sgdd'.*adam, adamw"),
        (lambda: step("adam", 1.0, weight_decay=0.1), "weight_decay is 0.1.*'adam'"),
        (
            lambda: optimizer.learning_rate_schedule(1.0, 5, warmup_steps=5, cosine=False),
            "warmup_steps is 5; expected 0 or more, and less than num_steps = 5",
        ),
        (
            lambda: optimizer.learning_rate_schedule(1.0, 1, warmup_steps=1, cosine=False),
            "warmup_steps is 1.*num_steps = 1",
        ),
        (
            lambda: optimizer.learning_rate_schedule(1.0, 5, warmup_steps=-1, cosine=False),
            "warmup_steps is -1",
        ),
        *(
            (
                lambda factor=factor: step("adam", 1.0, backbone_learning_rate_factor=factor),
                f"backbone_learning_rate_factor is {factor}; expected 0 .frozen. or a positive",
            )
            for factor in (-0.5, float("inf"), float("nan"))
        ),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_weight_decay_is_of_kernels_only():
    unet = UNet(dataclasses.replace(UNET, time_embedding_type="fourier"))
    shapes = jax.eval_shape(unet.init, jax.random.key(0), jnp.ones((1, 8, 8, 3)), jnp.ones(1))
    params = {"unet": jax.tree.map(lambda s: jnp.ones(s.shape), shapes["params"])}
    zeros = jax.tree.map(jnp.zeros_like, params)
    for factor in (1.0, 0.5):
        tx = optimizer.create_optimizer(
            "adamw", lambda count: 0.1, weight_decay=0.5, backbone_learning_rate_factor=factor
        )
        updates, _ = jax.jit(lambda tree, tx=tx: tx.update(zeros, tx.init(tree), tree))(params)
        moved = {}
        for path, update in jax.tree.flatten_with_path(updates)[0]:
            kind = jax.tree_util.keystr(path[-1:], simple=True)
            moved.setdefault(kind, set()).update(np.unique(update).tolist())
        assert moved.keys() == {"kernel", "bias", "scale", "weight"}  # weight: fixed frequencies
        (decayed,) = moved.pop("kernel")
        np.testing.assert_allclose(decayed, -0.05 * factor, rtol=1e-6)
        assert set.union(*moved.values()) == {0.0}
