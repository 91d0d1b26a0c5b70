import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.networks import layers
from noise2map_jax.networks.training import Training

X = np.random.default_rng(0).normal(size=(3, 8, 6, 4)).astype(np.float32)
TRAINING = Training(jax.random.split(jax.random.key(0), len(X)))


class Convolution(nn.Module):
    options: dict

    @nn.compact
    def __call__(self, x):
        return layers.convolution(x, name="conv", param_dtype=jnp.float32, **self.options)


@pytest.mark.parametrize(
    "options",
    [
        {"features": 300, "size": 3},  # the fast gradient of the kernel
        {"features": 6, "size": 7, "strides": 2},
        {"features": 4, "size": 3, "dilation": 3, "groups": 4, "use_bias": True},
    ],
    ids=["dense", "strided", "dilated and depthwise"],
)
def test_a_convolution_and_its_gradient(options):
    """Against XLA's convolution with padding that keeps the size."""
    network = Convolution(options)
    params = network.init(jax.random.key(1), X)["params"]["conv"]

    def plain(params, x):
        edge = options.get("dilation", 1) * (options["size"] // 2)
        y = jax.lax.conv_general_dilated(
            x,
            params["kernel"],
            (options.get("strides", 1),) * 2,
            [(edge, edge)] * 2,
            rhs_dilation=(options.get("dilation", 1),) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=options.get("groups", 1),
        )
        return y + params["bias"].reshape(1, 1, 1, -1) if "bias" in params else y

    def ours(params, x):
        return network.apply({"params": {"conv": params}}, x)

    y = plain(params, X)
    assert y.shape[1] == X.shape[1] // options.get("strides", 1)
    weights = jnp.sin(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
    found, expected = (
        jax.value_and_grad(lambda p, x, f=f: (f(p, x) * weights).sum(), (0, 1))(params, X)
        for f in (ours, plain)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), found, expected)
    np.testing.assert_allclose(ours(params, X), y, atol=1e-4)


def test_initial_values():
    """He et al. count outputs; a depthwise kernel has one output for each entry."""
    dense = layers.he_normal(jax.random.key(0), (3, 3, 64, 128))
    np.testing.assert_allclose(dense.std(), (2 / (9 * 128)) ** 0.5, rtol=0.02)
    depthwise = layers.he_normal(jax.random.key(0), (3, 3, 1, 512), groups=512)
    np.testing.assert_allclose(depthwise.std(), (2 / 9) ** 0.5, rtol=0.05)
    cut = layers.truncated_normal(jax.random.key(0), (100, 100))
    assert 0.035 < np.abs(cut).max() <= 0.04


def test_layer_norm_is_float32_within():
    x = (X[0, 0] + 200).astype(jnp.bfloat16)

    class Norm(nn.Module):
        @nn.compact
        def __call__(self, x):
            return layers.layer_norm(x, 1e-6, name="norm", param_dtype=jnp.float32)

    y, _ = Norm().init_with_output(jax.random.key(0), x)
    rows = np.asarray(x, np.float64)
    expected = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-6)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(y, np.float32), expected, atol=0.02)


def test_dropout_keeps_the_mean():
    x = np.ones((3, 100, 100, 4), np.float32)
    y = np.asarray(layers.Dropout(0.25).apply({}, x, TRAINING))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    np.testing.assert_allclose(y.mean((1, 2, 3)), 1, atol=0.02)
    np.testing.assert_array_equal(layers.Dropout(0.25).apply({}, x), x)


def test_channels_and_rows_are_dropped_whole():
    x = np.ones((3, 5, 4, 50), np.float32)
    channels = np.asarray(layers.Dropout(0.5, (1, 2)).apply({}, x, TRAINING))
    assert (channels == channels[:, :1, :1]).all()
    assert len(np.unique(channels[0])) == 2
    keys = jax.random.split(jax.random.key(1), 400)
    rows = np.ones((400, 3, 2, 2), np.float32)
    rows = np.asarray(layers.DropPath(0.1).apply({}, rows, Training(keys))).reshape(400, -1)
    assert (rows == rows[:, :1]).all()
    np.testing.assert_allclose((rows[:, 0] == 0).mean(), 0.1, atol=0.05)


def test_stochastic_depth_grows_linearly_over_stages():
    rates = layers.drop_path_rates(0.1, (1, 2, 2))
    np.testing.assert_allclose(np.concatenate(rates), [0, 0.025, 0.05, 0.075, 0.1])
    assert [len(stage) for stage in rates] == [1, 2, 2]
    assert layers.drop_path_rates(0.1, (1,)) == [[0]]
