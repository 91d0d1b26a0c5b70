import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import TWO_LEVELS

from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.features import features, layer_names
from noise2map_jax.network.interface import Head, init_params
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.network.unet import UNet

MODEL = Noise2Map(unet=TWO_LEVELS, heads=(Head("ss", 3, 2), Head("cd", 6, 2)))
X = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
T = np.array([10, 700], np.int32)


@functools.cache
def parameters():
    """Away from initial values, at which biases are silent."""
    shapes = jax.eval_shape(lambda key: init_params(MODEL, key, 16), jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda s: rng.normal(0, 0.2, s.shape).astype(np.float32), shapes)


def compute(layers, model=MODEL, params=None, x=X, **options):
    params = parameters() if params is None else params
    options = {"task": "ss"} | options
    call = functools.partial(features, model, layers=layers, **options)
    return jax.jit(call, compiler_options={"xla_backend_optimization_level": 0})(params, x, T)


def convolve(x, layer):
    """A 3x3 convolution with zeros around, written out."""
    kernel, bias = np.asarray(layer["kernel"]), np.asarray(layer["bias"])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    parts = [
        padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)
    ]
    return sum(parts) + bias[None, None, None]


def test_first_convolutions_equal_those_worked_by_hand():
    params = parameters()
    projected = convolve(X, params["ss_input_conv"])
    expected = {
        "ss_input_conv": projected,
        "unet/conv_in": convolve(projected, params["unet"]["conv_in"]),
    }
    found = compute(tuple(expected), pooled=False)
    pooled = compute(tuple(expected))
    assert list(found) == list(pooled) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)
        np.testing.assert_allclose(pooled[name], value.mean((1, 2)), atol=1e-4)


def test_last_layer_is_the_output_of_the_network():
    options = {"xla_backend_optimization_level": 0}
    apply = jax.jit(functools.partial(MODEL.apply, task="ss"), compiler_options=options)
    expected = apply({"params": parameters()}, X, T)
    found = compute(("ss_output_conv",), pooled=False)["ss_output_conv"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_layer_on_the_way_leads_to_the_output_of_the_network():
    found = compute(("unet", "ss_output_conv"), pooled=False)
    head = convolve(np.asarray(found["unet"]), parameters()["ss_output_conv"])
    np.testing.assert_allclose(head, found["ss_output_conv"], atol=1e-4)


def test_only_what_is_asked_for_comes_back_in_its_shape():
    shapes = {
        "unet/mid_block": (2, 8, 8, 16),
        "unet/down_blocks_0": (2, 8, 8, 8),  # after its downsampling
        "unet/down_blocks_0/resnets_0": (2, 16, 16, 8),
        "unet/down_blocks_1": (2, 8, 8, 16),
        "unet/up_blocks_0": (2, 16, 16, 16),
        "unet/time_embedding": (2, 32),
    }
    spatial = compute(tuple(shapes), pooled=False)
    assert {name: value.shape for name, value in spatial.items()} == shapes
    pooled = compute(tuple(shapes))
    for name, value in pooled.items():
        axes = tuple(range(1, spatial[name].ndim - 1))
        np.testing.assert_allclose(value, jnp.mean(spatial[name], axes), atol=1e-5)
        assert value.shape == (2, shapes[name][-1])


def test_a_block_gives_the_output_of_its_last_layer():
    pairs = {
        "unet/down_blocks_0": "unet/down_blocks_0/downsamplers_0",
        "unet/down_blocks_1": "unet/down_blocks_1/resnets_0",
        "unet/mid_block": "unet/mid_block/resnets_1",
        "unet/up_blocks_1": "unet/up_blocks_1/resnets_1",
    }
    found = compute((*pairs, *pairs.values()), pooled=False)
    for block, layer in pairs.items():
        np.testing.assert_array_equal(found[block], found[layer])


def test_layers_behind_the_last_one_cost_nothing():
    def operations(layer):
        call = functools.partial(features, MODEL, layers=(layer,), task="ss")
        options = {"xla_backend_optimization_level": 0}
        lowered = jax.jit(call, compiler_options=options).lower(parameters(), X, T)
        return lowered.compile().cost_analysis()["flops"]

    # Of two convolutions, 3 x 3, 3 to 3 and 3 to 8 channels, two operations each.
    assert operations("unet/conv_in") < 1.2 * 2 * 2 * 16 * 16 * 9 * (3 * 3 + 3 * 8)
    assert operations("unet/up_blocks_1") > 10 * operations("unet/conv_in")


def test_half_precision_is_pooled_in_float32():
    model = dataclasses.replace(MODEL, dtype=jnp.bfloat16)
    layers = ("unet/mid_block",)
    spatial = compute(layers, model, pooled=False)["unet/mid_block"]
    pooled = compute(layers, model)["unet/mid_block"]
    assert (spatial.dtype, pooled.dtype) == (jnp.bfloat16, jnp.float32)
    expected = np.asarray(spatial, np.float32).mean((1, 2))
    np.testing.assert_allclose(pooled, expected, atol=1e-3)


def test_the_timestep_reaches_the_features_only_if_it_is_to():
    layers = ("unet/mid_block",)
    image = np.broadcast_to(X[:1], X.shape)  # the same twice, at two timesteps
    seen = compute(layers, x=image)["unet/mid_block"]
    hidden = compute(layers, x=image, use_timestep=False)["unet/mid_block"]
    assert not np.allclose(seen[0], seen[1])
    np.testing.assert_allclose(hidden[0], hidden[1], atol=1e-5)


def test_a_bare_backbone_has_features_too():
    unet, params = UNet(TWO_LEVELS), parameters()["unet"]
    projected = convolve(X, parameters()["ss_input_conv"])
    found = compute(("mid_block",), unet, params, x=projected, task=None)["mid_block"]
    np.testing.assert_allclose(found, compute(("unet/mid_block",))["unet/mid_block"], atol=1e-4)
    assert "down_blocks_0/resnets_0/conv1" in layer_names(unet, (1, 16, 16, 3))


def paths(tree, prefix=""):
    """All inner nodes of a tree of parameters."""
    found = set()
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= {prefix + name} | paths(value, f"{prefix}{name}/")
    return found


@pytest.mark.parametrize(("task", "bands"), [("ss", 3), ("cd", 6)])
def test_layers_are_those_of_the_tree_of_parameters(task, bands):
    names = layer_names(MODEL, (1, 16, 16, bands), task=task)
    other = {"ss": "cd_", "cd": "ss_"}[task]
    expected = {name for name in paths(parameters()) if not name.startswith(other)}
    assert names == tuple(sorted(expected))


def test_resampling_layers_are_there_where_tiles_are_resampled():
    model = dataclasses.replace(MODEL, sample_size=16)
    assert "ss_input_upscaling" in layer_names(model, (1, 32, 32, 3), task="ss")
    assert "ss_input_upscaling" not in layer_names(model, (1, 16, 16, 3), task="ss")


@pytest.mark.parametrize(
    ("layers", "options", "words"),
    [
        (
            ("unet/conv_in", "unet/down_block_1"),
            {},
            r"no layer 'unet/down_block_1'; did you mean unet/down_blocks_1,",
        ),
        (("qqq",), {}, r"no layer 'qqq'; expected ss_input_conv.*unet/mid_block.*layer within"),
        (("cd_input_conv",), {}, r"no layer 'cd_input_conv'; did you mean ss_input_conv"),
        (("unet",), {"task": None}, r"need a task; .*ss, cd"),
        (("unet",), {"task": "denoise"}, r"no head for task 'denoise'"),
    ],
)
def test_mistakes_are_named(layers, options, words):
    with pytest.raises(UserError, match=words):
        compute(layers, **options)
