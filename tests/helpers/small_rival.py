"""A rival of two convolutions, with batch normalisation and dropout, that compiles in no time."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from problems import tiny_head, tiny_problem

from noise2map_jax.network.interface import init_params
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.layers import Dropout
from noise2map_jax.networks.rival import Rival
from noise2map_jax.steps.train_state import create_train_state


class Small(nn.Module):
    """A convolution as the encoder, and one as the head."""

    rate: float = 0.0
    stride: int = 1

    @nn.compact
    def __call__(self, x, training=None):
        # Without a bias, whose gradient would be 0 but for rounding, which Adam makes large.
        x = nn.Conv(4, (3, 3), use_bias=False, name="encoder")(x)
        x = nn.relu(BatchNorm(name="norm")(x, training))
        x = Dropout(self.rate, name="dropout")(x, training)
        return nn.Conv(2, (1, 1), name="segmentation_head_0")(x)


def small_problem(rate=0.0, **fields):
    """Return a problem of segmentation with this network."""
    problem = tiny_problem(**fields)
    model = Rival(Small(rate), (tiny_head("ss"),))
    return type(problem)(**{**vars(problem), "model": model})


def small_state(problem, tx, use_ema=False):
    """Return its first state."""
    params = jax.jit(init_params, static_argnums=(0, 2))(problem.model, jax.random.key(0), 16)
    return create_train_state(params, tx, use_ema=use_ema)


ADAM = optax.adam(jnp.float32(1e-2))
