"""DDPM-CD over a denoiser of this project."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import UNET

from noise2map_jax.evaluation.features import features
from noise2map_jax.network.unet import UNet
from noise2map_jax.networks.ddpmcd import DDPMCD
from noise2map_jax.networks.ddpmcd_head import DDPMCDHead
from noise2map_jax.networks.training import Training

CONFIG = type(UNET)(**{**vars(UNET), "in_channels": 3, "out_channels": 3})
NETWORK = DDPMCD(2, CONFIG, timesteps=(5, 40), alphas_cumprod=(0.9, 0.4))
PAIR = jax.random.normal(jax.random.key(1), (2, 16, 16, 6))
TRAINING = Training(jax.random.split(jax.random.key(2), 2))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(NETWORK.init)(jax.random.key(0), PAIR)


def test_features_are_the_last_of_each_resolution_of_the_decoder(variables):
    """Put together by hand from the layers' names, with the noise of prediction."""
    params = variables["params"]
    layers = ("up_blocks_0/resnets_1", "up_blocks_1/resnets_1")
    scales = [[], []]
    for number, (t, alpha) in enumerate(((5, 0.9), (40, 0.4))):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number), 2)
        dates = []
        for date in (0, 1):
            x = PAIR[..., 3 * date : 3 * date + 3]
            eps = jax.random.normal(keys[date], (16, 16, 3))[None]
            x_t = np.sqrt(alpha) * x + np.sqrt(1 - alpha) * eps
            found = features(
                UNet(CONFIG), params["unet"], x_t, jnp.full(2, t), layers, pooled=False
            )
            dates.append([found[layer] for layer in layers])
        for scale in (0, 1):
            scales[scale].append([dates[0][scale], dates[1][scale]])
    pre, post = ([[t[date] for t in scale] for scale in scales] for date in (0, 1))
    expected = DDPMCDHead(2).apply({"params": params["head"]}, pre, post)
    found = jax.jit(NETWORK.apply)(variables, PAIR)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_no_gradient_reaches_the_denoiser(variables):
    def loss(variables):
        return jnp.square(NETWORK.apply(variables, PAIR, TRAINING)).mean()

    gradient = jax.jit(jax.grad(loss))(variables)["params"]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient["unet"]))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gradient["head"]))


def test_noise_follows_the_row_in_training_and_is_the_same_in_prediction(variables):
    apply = jax.jit(NETWORK.apply)
    both = apply(variables, PAIR, TRAINING)
    alone = apply(variables, PAIR[1:], Training(TRAINING.row_keys[1:]))
    np.testing.assert_allclose(both[1:], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        apply(variables, PAIR)[1:], apply(variables, PAIR[1:]), rtol=1e-4, atol=1e-5
    )
    same = jnp.concatenate([PAIR[:1], PAIR[:1]])
    assert not np.allclose(*apply(variables, same, TRAINING))
    np.testing.assert_allclose(*apply(variables, same), rtol=1e-4, atol=1e-5)
