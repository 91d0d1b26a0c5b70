import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequential_scan import sequential

from noise2map_jax.errors import UserError
from noise2map_jax.networks.ss2d import SS2D, STEP_SIZES, four_ways, merge_four_ways


def test_the_ways_are_rows_columns_and_both_backwards():
    x = jnp.arange(6).reshape(1, 2, 3, 1)
    ways = np.asarray(four_ways(x))[0, :, :, 0].tolist()
    assert ways == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]
    np.testing.assert_array_equal(merge_four_ways(four_ways(x), 2, 3), 4 * x)


def layer_of(states, channels=32, ratio=1.5):
    """A layer with a step size of rank 2, and drawn parameters."""
    layer = SS2D(ratio, states)
    params = layer.init(jax.random.key(0), jnp.zeros((1, 2, 3, channels)))["params"]
    rng = np.random.default_rng(0)

    def moved(p):
        return (np.asarray(p) + rng.uniform(-0.5, 0.5, p.shape)).astype(np.float32)

    return layer, jax.tree.map(moved, params)


@pytest.mark.parametrize("states", [1, 3])
def test_a_layer_is_its_definition(states):
    layer, params = layer_of(states)
    x = np.random.default_rng(1).normal(size=(2, 4, 3, 32)).astype(np.float32)

    h = np.pad(x @ params["in_proj"]["kernel"], ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = params["conv2d"]["kernel"][:, :, 0]
    shifted = [h[:, i : i + 4, j : j + 3] * kernel[i, j] for i in range(3) for j in range(3)]
    h = sum(shifted)
    h = h / (1 + np.exp(-h))
    total = np.zeros(h.shape)
    orders = np.arange(12).reshape(4, 3)
    pixels = [orders.ravel(), orders.T.ravel(), orders.ravel()[::-1], orders.T.ravel()[::-1]]
    for way, order in enumerate(pixels):
        sequence = h.reshape(2, 12, 48)[:, order]
        projected = sequence @ params["x_proj_weight"][way].T
        rank = projected.shape[-1] - 2 * states
        assert rank == 2  # 32 channels / 16
        delta, b, c = np.split(projected, [rank, rank + states], axis=-1)
        delta = delta @ params["dt_projs_weight"][way].T + params["dt_projs_bias"][way]
        rows = slice(48 * way, 48 * (way + 1))
        y = sequential(
            sequence,
            np.log1p(np.exp(delta)),
            -np.exp(params["A_logs"][rows]),
            b,
            c,
            params["Ds"][rows],
        )
        total.reshape(2, 12, 48)[:, order] += y
    mean, variance = total.mean(-1, keepdims=True), total.var(-1, keepdims=True)
    normalised = (total - mean) / np.sqrt(variance + 1e-5)
    normalised = normalised * params["out_norm"]["scale"] + params["out_norm"]["bias"]
    expected = normalised @ params["out_proj"]["kernel"]

    with jax.default_matmul_precision("highest"):
        actual = layer.apply({"params": params}, x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_step_sizes_and_rates_begin_as_published():
    layer = SS2D(2.0, 3)
    params = layer.init(jax.random.key(0), jnp.zeros((1, 2, 2, 64)))["params"]
    steps = jax.nn.softplus(params["dt_projs_bias"])
    assert STEP_SIZES[0] * 0.99 < steps.min() < 2e-3
    assert 0.05 < steps.max() < STEP_SIZES[1] * 1.01
    np.testing.assert_allclose(np.exp(params["A_logs"]), np.tile([1, 2, 3], (512, 1)), rtol=1e-6)
    np.testing.assert_array_equal(params["Ds"], np.ones(512))


def test_no_channels_are_refused():
    with pytest.raises(UserError, match=r"a scan of 0\.01 x 16 channels has none; take a larger"):
        SS2D(0.01).init(jax.random.key(0), jnp.zeros((1, 2, 2, 16)))
