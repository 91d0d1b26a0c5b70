"""Each layer of the network, and the nodes that stand for it in a graph."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from noise2map_jax.exports import onnx_layers
from noise2map_jax.exports.onnx_graph import Graph, Image
from noise2map_jax.network import layers
from noise2map_jax.network.resampling import resize_align_corners
from noise2map_jax.network.unet_config import UNetConfig

TINY = UNetConfig(
    block_out_channels=(8, 8),
    down_block_types=("DownBlock2D",) * 2,
    up_block_types=("UpBlock2D",) * 2,
    norm_num_groups=4,
    norm_eps=1e-3,
    attention_head_dim=None,
    add_attention=False,
)
CHANNELS, SIZE, D = 8, 6, 5
RNG = np.random.default_rng(0)
TEMB = RNG.normal(size=D).astype(np.float32)


def config(**fields):
    return dataclasses.replace(TINY, **fields)


def images(channels=CHANNELS, size=SIZE):
    """Images with a large mean, which would hide a wrong variance if it were small."""
    return RNG.normal(3, 2, (2, size, size, channels)).astype(np.float32)


def parameters(module, *inputs):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    return jax.tree.map(lambda s: RNG.normal(0, 0.5, s.shape).astype(np.float32), shapes)


def in_flax(module, params, *inputs):
    options = {"xla_backend_optimization_level": 0}
    apply = jax.jit(lambda p, *given: module.apply({"params": p}, *given), compiler_options=options)
    return np.asarray(apply(params, *inputs))


def in_onnx(write, *inputs):
    """Run what `write(graph, *images)` adds to a graph on images [N, H, W, C]."""
    x = np.moveaxis(np.concatenate(inputs, -1), -1, 1)
    graph = Graph()
    source = Image("x", x.shape[1], x.shape[2], x.shape[3])
    parts, first = [], 0
    for one in inputs:
        channels = np.arange(first, first + one.shape[-1])
        name = graph.add("Gather", "x", graph.constant(channels, np.int64), axis=1)
        parts.append(Image(name, one.shape[-1], *one.shape[1:3]))
        first += one.shape[-1]
    result = write(graph, *parts)
    model = graph.model(source, result).SerializeToString()
    (y,) = onnxruntime.InferenceSession(model).run(None, {"x": x})
    assert y.shape[1:] == (result.channels, result.height, result.width)
    return np.moveaxis(y, 1, -1)


def assert_alike(actual, expected):
    assert expected.std() > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("before", [0, 1])
def test_downsampling_pads_as_the_config_says(before):
    own, x = config(downsample_padding=before), images()
    params = parameters(layers.Downsample(own), x)
    found = in_onnx(lambda g, x: onnx_layers.downsample(g, x, params, own), x)
    assert_alike(found, in_flax(layers.Downsample(own), params, x))


def test_upsampling_repeats_pixels():
    x = images()
    params = parameters(layers.Upsample(), x)
    found = in_onnx(lambda g, x: onnx_layers.upsample(g, x, params), x)
    assert_alike(found, in_flax(layers.Upsample(), params, x))


@pytest.mark.parametrize("size", [4, 6, 11])
def test_resampling_aligns_corners(size):
    x = images()
    found = in_onnx(lambda g, x: onnx_layers.resize_align_corners(g, x, size), x)
    assert_alike(found, np.asarray(resize_align_corners(jnp.asarray(x), size, size)))


@pytest.mark.parametrize("shift", ["default", "scale_shift"])
@pytest.mark.parametrize(("features", "skips", "factor"), [(8, (), 1.0), (16, (4,), 1.7)])
def test_residual_block(shift, features, skips, factor):
    own = config(resnet_time_scale_shift=shift)
    x, others = images(), [images(n) for n in skips]
    module = layers.ResnetBlock(features, own, factor)
    temb = np.stack([TEMB, TEMB])
    params = parameters(module, x, temb, *others)
    assert ("conv_shortcut" in params) == bool(skips)
    found = in_onnx(
        lambda g, *parts: onnx_layers.resnet_block(g, parts, params, TEMB, own, factor), x, *others
    )
    assert_alike(found, in_flax(module, params, x, temb, *others))


@pytest.mark.parametrize(("head_dim", "groups", "factor"), [(None, 4, 1.0), (3, None, 1.7)])
def test_attention(head_dim, groups, factor):
    """Heads of 3 leave 2 of 8 channels over."""
    own, x = config(attention_head_dim=head_dim), images()
    module = layers.Attention(own, groups, factor)
    params = parameters(module, x)
    found = in_onnx(lambda g, x: onnx_layers.attention(g, x, params, own, groups, factor), x)
    assert_alike(found, in_flax(module, params, x))


def test_equal_constants_are_stored_once():
    graph = Graph()
    assert graph.constant([1.0, 2.0]) == graph.constant([1.0, 2.0])
    assert graph.constant([1.0, 2.0]) != graph.constant([[1.0, 2.0]])
    assert graph.constant([1, 2], np.int64) != graph.constant([1.0, 2.0])
