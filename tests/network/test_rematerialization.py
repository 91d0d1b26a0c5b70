import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import TWO_LEVELS, UNET

from noise2map_jax.errors import UserError
from noise2map_jax.network.rematerialization import POLICIES
from noise2map_jax.network.unet import UNet

CONFIG = dataclasses.replace(TWO_LEVELS, layers_per_block=1)
X = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
TIMESTEPS = jnp.array([3, 500])


def loss(params, remat):
    return jnp.mean(jnp.square(UNet(CONFIG, remat=remat).apply({"params": params}, X, TIMESTEPS)))


@functools.cache
def init(remat):
    network = UNet(dataclasses.replace(UNET, add_attention=True), remat=remat)
    return jax.jit(network.init)(jax.random.key(1), X, TIMESTEPS)["params"]


@pytest.fixture(scope="module")
def params():
    shapes = jax.eval_shape(UNet(CONFIG).init, jax.random.key(1), X, TIMESTEPS)["params"]
    rng = np.random.default_rng(0)  # to draw them as the network does is to compile for seconds
    return jax.tree.map(lambda s: 0.2 * rng.standard_normal(s.shape, np.float32), shapes)


@pytest.fixture(scope="module")
def gradients(params):
    """Loss and gradient of each policy, compiled."""
    functions = {r: jax.value_and_grad(functools.partial(loss, remat=r)) for r in POLICIES}
    return {r: jax.jit(function).lower(params).compile() for r, function in functions.items()}


@pytest.mark.parametrize("remat", POLICIES)
def test_parameters_are_called_and_drawn_the_same(remat):
    jax.tree.map(np.testing.assert_array_equal, init(remat), init("none"))


def test_what_is_computed_again_changes_neither_loss_nor_gradient(params, gradients):
    value, gradient = gradients["none"](params)
    for remat in POLICIES:
        found_value, found = gradients[remat](params)
        np.testing.assert_allclose(found_value, value, rtol=1e-6)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(gradient), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.max(jnp.abs(b))))


def test_the_more_is_computed_again_the_less_is_kept(params, gradients):
    kept = {}
    for remat in POLICIES:
        function = functools.partial(loss, remat=remat)
        backward = jax.eval_shape(lambda p, function=function: jax.vjp(function, p)[1], params)
        kept[remat] = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))
    assert kept["blocks"] < 0.8 * kept["convolutions"]
    assert kept["convolutions"] < 0.9 * kept["none"]
    flops = {remat: gradients[remat].cost_analysis()["flops"] for remat in POLICIES}
    assert flops["blocks"] > 1.1 * flops["none"]
    assert flops["convolutions"] < 1.05 * flops["none"]


def test_an_unknown_policy_is_named():
    with pytest.raises(UserError, match=r"unknown train\.remat 'all'; expected one of none, conv"):
        UNet(CONFIG, remat="all").init(jax.random.key(0), X, TIMESTEPS)
