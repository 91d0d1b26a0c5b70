"""DDPM-CD over a denoiser of this project."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import TWO_LEVELS

from noise2map_jax.evaluation.features import features
from noise2map_jax.network.unet import UNet
from noise2map_jax.networks.ddpmcd import DDPMCD
from noise2map_jax.networks.ddpmcd_head import DDPMCDHead
from noise2map_jax.networks.training import Training

CONFIG = type(TWO_LEVELS)(**{**vars(TWO_LEVELS), "in_channels": 3, "out_channels": 3})
NETWORK = DDPMCD(2, CONFIG, timesteps=(5, 40), alphas_cumprod=(0.9, 0.4))
PAIR = jax.random.normal(jax.random.key(1), (2, 16, 16, 6))
APPLY = jax.jit(NETWORK.apply)
TRAINING = Training(jax.random.split(jax.random.key(2), 2))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(NETWORK.init)(jax.random.key(0), PAIR)


@functools.partial(jax.jit, static_argnums=0)
def denoiser_features(layers, params, x_t, timesteps):
    return features(UNet(CONFIG), params, x_t, timesteps, layers, pooled=False)


def test_features_are_the_last_of_each_resolution_of_the_decoder(variables):
    """Put together by hand from the layers' names, with the noise of prediction."""
    params = variables["params"]
    layers = ("up_blocks_0/resnets_1", "up_blocks_1/resnets_1")
    by_date = []
    for date in (0, 1):
        x = PAIR[..., 3 * date : 3 * date + 3]
        found = []
        for number, (t, alpha) in enumerate(((5, 0.9), (40, 0.4))):
            key = jax.random.split(jax.random.fold_in(jax.random.key(0), number), 2)[date]
            eps = jax.random.normal(key, (16, 16, 3))[None]
            x_t = np.sqrt(alpha) * x + np.sqrt(1 - alpha) * eps
            found.append(denoiser_features(layers, params["unet"], x_t, jnp.full(2, t)))
        by_date.append([[of_t[layer] for of_t in found] for layer in layers])
    expected = jax.jit(DDPMCDHead(2).apply)({"params": params["head"]}, *by_date)
    np.testing.assert_allclose(APPLY(variables, PAIR), expected, rtol=1e-4, atol=1e-4)


def test_no_gradient_reaches_the_denoiser(variables):
    def loss(variables):
        return jnp.square(NETWORK.apply(variables, PAIR, TRAINING)).mean()

    gradient = jax.jit(jax.grad(loss))(variables)["params"]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient["unet"]))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gradient["head"]))


def test_noise_follows_the_row_in_training_and_is_the_same_in_prediction(variables):
    there = APPLY(variables, PAIR, TRAINING)
    turned = APPLY(variables, PAIR[::-1], Training(TRAINING.row_keys[::-1]))
    np.testing.assert_allclose(there[::-1], turned, rtol=1e-4, atol=1e-5)
    same = jnp.concatenate([PAIR[:1], PAIR[:1]])
    assert not np.allclose(*APPLY(variables, same, TRAINING))
    np.testing.assert_allclose(*APPLY(variables, same), rtol=1e-4, atol=1e-5)
