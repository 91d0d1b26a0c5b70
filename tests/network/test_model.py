import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import UNET, drawn_params, initial_params

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import Head
from noise2map_jax.network.model import Noise2Map

SS, CD = Head("ss", 3, 2), Head("cd", 6, 2)


def a_model(**options):
    return Noise2Map(**({"unet": UNET, "heads": (SS,)} | options))


def apply(model, params, x, t, task="ss", use_timestep=True):
    call = jax.jit(functools.partial(model.apply, task=task))
    return call({"params": params}, x, jnp.array(t), use_timestep=use_timestep)


def test_logits_have_a_channel_a_class_and_the_size_of_the_tile():
    model = a_model(heads=(Head("ss", 5, 7),))
    params = drawn_params(model, 16)
    out = apply(model, params, jnp.ones((2, 16, 16, 5)), [1, 2])
    assert out.shape == (2, 16, 16, 7)
    assert out.dtype == jnp.float32


def test_another_tile_size_is_resampled_to_the_backbones_and_back():
    model = a_model(sample_size=16)
    params = drawn_params(model, 32)
    assert params["ss_input_upscaling"]["kernel"].shape == (3, 3, 3, 3)
    assert params["ss_output_downscaling"]["kernel"].shape == (3, 3, 3, 3)
    x = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    out = apply(model, params, x, [1])
    assert out.shape == (1, 32, 32, 2)
    assert "ss_input_upscaling" not in drawn_params(model, 16)


def test_timestep_reaches_the_network_only_if_it_is_to():
    model = a_model()
    params = drawn_params(model, 16)
    # Away from initial values, at which a part of the network may be silent.
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    params = tree.unflatten(
        [p + 0.1 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=True)]
    )
    x = jax.random.normal(jax.random.key(2), (1, 16, 16, 3))

    def out(t, use_timestep):
        return apply(model, params, x, [t], use_timestep=use_timestep)

    assert not np.allclose(out(10, True), out(900, True))
    np.testing.assert_array_equal(out(10, False), out(900, False))
    np.testing.assert_array_equal(out(10, jnp.bool_(False)), out(0, jnp.bool_(True)))


def test_heads_share_the_backbone_and_nothing_else():
    both = initial_params(a_model(heads=(SS, CD)), 16)
    alone = initial_params(a_model(heads=(CD,)), 16)
    assert set(both) == {
        "unet",
        "ss_input_conv",
        "ss_output_conv",
        "cd_input_conv",
        "cd_output_conv",
    }
    assert both["cd_input_conv"]["kernel"].shape == (3, 3, 6, 3)
    jax.tree.map(np.testing.assert_array_equal, both["unet"], alone["unet"])


def test_compute_type_and_parameter_type_are_apart():
    model = a_model(dtype=jnp.bfloat16)
    params = drawn_params(model, 16)
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    x = jax.random.normal(jax.random.key(1), (1, 16, 16, 3))
    low = apply(model, params, x, [1])
    high = apply(a_model(), params, x, [1])
    assert low.dtype == jnp.float32
    assert not np.array_equal(low, high)
    np.testing.assert_allclose(low, high, atol=0.05)


def test_wrong_channels_and_unknown_heads_are_named():
    model = a_model()
    params = {"params": drawn_params(model, 16)}
    with pytest.raises(UserError, match="4 channels; expected 3"):
        model.apply(params, jnp.ones((1, 16, 16, 4)), jnp.array([1]), task="ss")
    with pytest.raises(UserError, match="'cd'; it has ss"):
        model.apply(params, jnp.ones((1, 16, 16, 6)), jnp.array([1]), task="cd")
