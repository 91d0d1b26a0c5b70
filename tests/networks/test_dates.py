"""Both dates in one pass, against one after the other."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.dates import encode_dates
from noise2map_jax.networks.layers import Dropout, convolution
from noise2map_jax.networks.training import Training


class Encoder(nn.Module):
    """A normalised convolution; the second output tells which entries dropout kept."""

    @nn.compact
    def __call__(self, x, training):
        y = BatchNorm()(convolution(x, 4, 3, name="conv", param_dtype=jnp.float32), training)
        return {"y": y, "kept": Dropout(0.5)(jnp.ones_like(y), training)}


class Siamese(nn.Module):
    """Encodes a pair; the encoder's variables lie one level lower."""

    @nn.compact
    def __call__(self, x, training):
        return encode_dates(Encoder(name="encoder"), x, training)


def apply(module):
    """A compiled call that returns the output and the new statistics."""
    return jax.jit(lambda *args: module.apply(*args, mutable=["batch_stats"]))


@pytest.mark.parametrize("in_training", [True, False])
def test_one_pass_is_that_of_two_calls_the_earlier_date_first(in_training):
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 4)) * 3 + 1
    x = x.at[..., 2:].add(2)
    training = Training(jax.random.split(jax.random.key(1), 3)) if in_training else None
    variables = Siamese().init(jax.random.key(2), x, None)
    dates, new = apply(Siamese())(variables, x, training)

    alone = {name: tree["encoder"] for name, tree in variables.items()}
    encode = apply(Encoder())
    for date, image in zip(dates, (x[..., :2], x[..., 2:]), strict=True):
        expected, state = encode(alone, image, training)
        np.testing.assert_allclose(date["y"], expected["y"], rtol=1e-5, atol=1e-5)
        alone |= state
    moved, expected = new["batch_stats"]["encoder"], alone["batch_stats"]
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    # Each date has masks of its own.
    assert np.array_equal(dates[0]["kept"], dates[1]["kept"]) != in_training
