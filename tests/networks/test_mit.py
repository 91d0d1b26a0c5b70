import jax
import numpy as np
import pytest
from golden_networks import count, random_variables

from noise2map_jax.errors import UserError
from noise2map_jax.networks.mit import MITS, MiT
from noise2map_jax.networks.training import Training

THIN = MiT(embed_dims=(8, 8, 10, 16), depths=(1, 1, 1, 1))  # heads 1, 2, 5, 8


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mit_b0", 3_319_392), ("mit_b1", 13_151_424), ("mit_b2", 24_196_288)],
)
def test_parameters(name, parameters):
    assert count(MITS[name]) == parameters


def test_sizes_of_features():
    x = jax.ShapeDtypeStruct((2, 64, 96, 5), np.float32)
    for encoder in (THIN, THIN.cut(3)):
        features, _ = jax.eval_shape(encoder.init_with_output, jax.random.key(0), x)
        strides = encoder.feature_strides
        sizes = [(64 // stride, 96 // stride) for stride in strides]
        assert [f.shape[1:3] for f in features] == sizes
        assert tuple(f.shape[-1] for f in features[1:]) == encoder.feature_widths
        assert strides == (1, 2, 4, 8, 16, 32)[: len(features)]
    with pytest.raises(UserError, match="encoder_depth is 1; expected 2 to 5"):
        THIN.cut(1)


def test_heads_divide_channels():
    with pytest.raises(UserError, match="attention of 10 channels cannot have 4 equal heads"):
        count(THIN.clone(num_heads=(1, 2, 4, 8)))


def test_training_draws_by_row():
    """Stochastic depth and both kinds of dropout; half of the batch alone gives the same."""
    options = {"drop_path_rate": 0.5, "dropout_rate": 0.2, "attention_dropout_rate": 0.2}
    encoder = THIN.clone(embed_dims=(8,), depths=(2,), **options)
    x = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    variables = random_variables(encoder, x.shape)
    keys = jax.random.split(jax.random.key(1), 4)
    run = jax.jit(lambda x, keys: encoder.apply(variables, x, Training(keys))[-1])
    whole = run(x, keys)
    halves = [run(x[rows], keys[rows]) for rows in (slice(2), slice(2, 4))]
    np.testing.assert_allclose(whole, np.concatenate(halves), atol=1e-5)
    assert np.abs(whole - run(x, keys[::-1])).max() > 0.1
