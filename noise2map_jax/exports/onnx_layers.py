"""The layers of `network/layers.py` as nodes of an ONNX graph; images are NCHW here.

Parameters are trees of NumPy arrays with the names and layouts of Flax. What depends on the
timestep alone is a constant of the graph.
"""

import math
from typing import Any

import jax
import numpy as np

from noise2map_jax.exports.onnx_graph import Graph, Image
from noise2map_jax.network.resampling import interpolation_matrix
from noise2map_jax.network.unet_config import UNetConfig

Params = dict[str, Any]
Pads = tuple[int, int, int, int]  # zeros above, on the left, below, on the right


def silu(graph: Graph, x: str) -> str:
    """Return x * sigmoid(x)."""
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def conv(
    graph: Graph,
    x: Image,
    params: Params,
    *,
    pads: Pads = (1, 1, 1, 1),
    stride: int = 1,
    offset: np.ndarray | float = 0.0,
) -> Image:
    """Convolve.

    Args:
        graph: the graph.
        x: the images.
        params: kernel [K, L, C, D] and bias [D].
        pads: zeros around the images.
        stride: pixels from window to window.
        offset: [D] or a number, added to the bias.
    """
    kernel = np.transpose(params["kernel"], (3, 2, 0, 1))  # [D, C, K, L]
    features, _, rows, columns = kernel.shape
    name = graph.add(
        "Conv",
        x.name,
        graph.constant(kernel),
        graph.constant(np.asarray(params["bias"], np.float32) + np.float32(offset)),
        pads=pads,
        strides=(stride, stride),
    )
    height = (x.height + pads[0] + pads[2] - rows) // stride + 1
    width = (x.width + pads[1] + pads[3] - columns) // stride + 1
    return Image(name, features, height, width)


def to_patches(graph: Graph, x: Image, patch_size: int) -> Image:
    """Put the pixels of patches into channels, as `network/patches.py`."""
    if patch_size == 1:
        return x
    name = graph.add("SpaceToDepth", x.name, blocksize=patch_size)
    return Image(name, x.channels * patch_size**2, x.height // patch_size, x.width // patch_size)


def from_patches(graph: Graph, x: Image, patch_size: int) -> Image:
    """Invert `to_patches`."""
    if patch_size == 1:
        return x
    name = graph.add("DepthToSpace", x.name, blocksize=patch_size, mode="DCR")
    return Image(name, x.channels // patch_size**2, x.height * patch_size, x.width * patch_size)


def concatenate(graph: Graph, *parts: Image) -> Image:
    """Join images along channels."""
    name = graph.add("Concat", *(part.name for part in parts), axis=1)
    channels = sum(part.channels for part in parts)
    return Image(name, channels, parts[0].height, parts[0].width)


def group_norm(
    graph: Graph,
    x: Image,
    params: Params,
    num_groups: int,
    epsilon: float,
    modulation: tuple[np.ndarray, np.ndarray] | None = None,
) -> Image:
    """Normalise over the pixels and each group of neighbouring channels.

    Opset 18 has no group normalisation of this definition, so each group becomes one channel that
    is normalised alone.

    Args:
        graph: the graph.
        x: the images.
        params: scale [C] and bias [C].
        num_groups: number of groups.
        epsilon: added to the variance.
        modulation: scale [C] and shift [C] of the timestep: y * (1 + scale) + shift.
    """
    scale, bias = np.asarray(params["scale"]), np.asarray(params["bias"])
    if modulation is not None:
        scale, bias = scale * (1 + modulation[0]), bias * (1 + modulation[0]) + modulation[1]
    pixels = x.channels // num_groups * x.height * x.width
    grouped = graph.add("Reshape", x.name, graph.constant([0, num_groups, pixels], np.int64))
    normalised = graph.add(
        "InstanceNormalization",
        grouped,
        graph.constant(np.ones(num_groups)),
        graph.constant(np.zeros(num_groups)),
        epsilon=epsilon,
    )
    shape = graph.constant([0, x.channels, x.height, x.width], np.int64)
    y = graph.add("Reshape", normalised, shape)
    y = graph.add("Mul", y, graph.constant(scale.reshape(1, -1, 1, 1)))
    y = graph.add("Add", y, graph.constant(bias.reshape(1, -1, 1, 1)))
    return Image(y, x.channels, x.height, x.width)


def resnet_block(
    graph: Graph,
    parts: tuple[Image, ...],
    params: Params,
    temb: np.ndarray,
    config: UNetConfig,
    output_scale_factor: float = 1.0,
) -> Image:
    """Two normalised convolutions with the timestep between them, and a shortcut.

    Args:
        graph: the graph.
        parts: the images and the skips, which are joined along channels.
        params: parameters of the block.
        temb: [D], the embedded timestep.
        config: config of the network.
        output_scale_factor: divides the sum of both ways.
    """
    groups, epsilon = config.norm_num_groups, config.norm_eps
    activated = np.asarray(jax.nn.silu(temb), np.float32)
    projection = params["time_emb_proj"]
    time = activated @ np.asarray(projection["kernel"]) + np.asarray(projection["bias"])
    scale_shift = config.resnet_time_scale_shift == "scale_shift"

    x = concatenate(graph, *parts) if len(parts) > 1 else parts[0]
    h = _activated(graph, group_norm(graph, x, params["norm1"], groups, epsilon))
    if scale_shift:
        scale, shift = np.split(time, 2)
        h = conv(graph, h, params["conv1"])
        h = group_norm(graph, h, params["norm2"], groups, epsilon, (scale, shift))
    else:
        h = conv(graph, h, params["conv1"], offset=time)
        h = group_norm(graph, h, params["norm2"], groups, epsilon)
    h = conv(graph, _activated(graph, h), params["conv2"])
    if "conv_shortcut" in params:
        x = conv(graph, x, params["conv_shortcut"], pads=(0, 0, 0, 0))
    return _sum(graph, x, h, output_scale_factor)


def attention(
    graph: Graph,
    x: Image,
    params: Params,
    config: UNetConfig,
    num_groups: int | None,
    output_scale_factor: float = 1.0,
) -> Image:
    """Self-attention over all pixels, added to its input.

    Args:
        graph: the graph.
        x: the images.
        params: parameters of the layer.
        config: config of the network.
        num_groups: groups of the normalisation; None = no normalisation.
        output_scale_factor: divides the sum.
    """
    head_dim = config.attention_head_dim or x.channels
    heads = x.channels // head_dim  # if they do not divide the channels, the rest is dropped
    pixels = x.height * x.width
    h = x
    if num_groups is not None:
        h = group_norm(graph, x, params["group_norm"], num_groups, config.norm_eps)
    rows = graph.add("Reshape", h.name, graph.constant([0, x.channels, pixels], np.int64))
    rows = graph.add("Transpose", rows, perm=(0, 2, 1))  # [B, HW, C]
    by_head = graph.constant([0, pixels, heads, head_dim], np.int64)

    def projected(layer: str, order: tuple[int, ...]) -> str:
        y = _dense(graph, rows, params[layer])
        return graph.add("Transpose", graph.add("Reshape", y, by_head), perm=order)

    query = projected("to_q", (0, 2, 1, 3))  # [B, heads, HW, head_dim]
    query = graph.add("Mul", query, graph.constant(1 / math.sqrt(head_dim)))
    key = projected("to_k", (0, 2, 3, 1))  # [B, heads, head_dim, HW]
    value = projected("to_v", (0, 2, 1, 3))
    weights = graph.add("Softmax", graph.add("MatMul", query, key), axis=-1)
    y = graph.add("Transpose", graph.add("MatMul", weights, value), perm=(0, 2, 1, 3))
    y = graph.add("Reshape", y, graph.constant([0, pixels, heads * head_dim], np.int64))
    y = graph.add("Transpose", _dense(graph, y, params["to_out_0"]), perm=(0, 2, 1))
    y = graph.add("Reshape", y, graph.constant([0, x.channels, x.height, x.width], np.int64))
    attended = Image(y, x.channels, x.height, x.width)
    return _sum(graph, x, attended, output_scale_factor)


def downsample(graph: Graph, x: Image, params: Params, config: UNetConfig) -> Image:
    """Halve the resolution with a convolution of stride 2."""
    before = config.downsample_padding
    return conv(graph, x, params["conv"], pads=(before, before, 1, 1), stride=2)


def upsample(graph: Graph, x: Image, params: Params) -> Image:
    """Repeat every pixel in both directions, then convolve."""
    doubled = graph.add(
        "Resize",
        x.name,
        "",
        graph.constant([1, 1, 2, 2]),
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    return conv(graph, Image(doubled, x.channels, 2 * x.height, 2 * x.width), params["conv"])


def resize_align_corners(graph: Graph, x: Image, size: int) -> Image:
    """Resample square images bilinearly with aligned corners, as two matrix products."""
    if size == x.height:
        return x
    matrix = interpolation_matrix(x.height, size)  # [size, H]
    rows = graph.add("MatMul", graph.constant(matrix), x.name)
    return Image(graph.add("MatMul", rows, graph.constant(matrix.T)), x.channels, size, size)


def _activated(graph: Graph, x: Image) -> Image:
    return Image(silu(graph, x.name), x.channels, x.height, x.width)


def _dense(graph: Graph, x: str, params: Params) -> str:
    product = graph.add("MatMul", x, graph.constant(params["kernel"]))
    return graph.add("Add", product, graph.constant(params["bias"]))


def _sum(graph: Graph, x: Image, h: Image, scale_factor: float) -> Image:
    name = graph.add("Add", x.name, h.name)
    if scale_factor != 1:
        name = graph.add("Div", name, graph.constant(scale_factor))
    return Image(name, h.channels, h.height, h.width)
