"""Depthwise convolutions by shifts, against XLA's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.networks.depthwise import conv_general_dilated

pytestmark = pytest.mark.usefixtures("highest_precision")


@pytest.mark.parametrize(
    ("channels", "features", "groups", "size", "stride", "dilation", "padding"),
    [
        (4, 4, 4, (3, 3), 1, 1, 1),
        (4, 4, 4, (3, 3), 1, 2, 2),
        (4, 4, 4, (1, 5), 1, 1, ((1, 0), (3, 2))),
        (4, 4, 4, (3, 3), 2, 1, 1),  # not faster: those are XLA's
        (4, 8, 4, (3, 3), 1, 1, 1),
        (4, 6, 2, (3, 3), 1, 1, 1),
        (1, 1, 1, (3, 3), 1, 1, 1),
        (4, 4, 4, (3, 3), 1, 1, "SAME"),
    ],
)
def test_values_and_gradients_are_those_of_flax(
    channels, features, groups, size, stride, dilation, padding
):
    options = {
        "strides": stride,
        "kernel_dilation": dilation,
        "padding": padding,
        "feature_group_count": groups,
    }
    ours = nn.Conv(features, size, conv_general_dilated=conv_general_dilated, **options)
    flax = nn.Conv(features, size, **options)
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, channels))
    variables = flax.init(jax.random.key(1), x)

    @jax.jit
    def both(variables, x):
        results = []
        for layer in (ours, flax):
            y, backward = jax.vjp(layer.apply, variables, x)
            results.append((y, *backward(jax.random.normal(jax.random.key(2), y.shape))))
        return results

    found, wanted = both(variables, x)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_entries_are_added_in_float32():
    layer = nn.Conv(2, (1, 3), padding=((0, 0), (1, 1)), use_bias=False, feature_group_count=2)
    layer = layer.clone(conv_general_dilated=conv_general_dilated, dtype=jnp.bfloat16)
    entries = jnp.array([256.0, 1, -256]).reshape(1, 3, 1, 1) * jnp.ones((1, 1, 1, 2))
    y = layer.apply({"params": {"kernel": entries}}, jnp.ones((1, 1, 3, 2)))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y[0, 0, 1], [1, 1])  # in bfloat16 257 is 256
