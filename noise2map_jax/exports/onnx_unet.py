"""The U-Net of `network/unet.py` at one timestep as nodes of an ONNX graph."""

import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.exports.onnx_graph import Graph, Image
from noise2map_jax.exports.onnx_layers import (
    Params,
    attention,
    conv,
    downsample,
    group_norm,
    resnet_block,
    silu,
    upsample,
)
from noise2map_jax.network.layers import FourierProjection, TimeEmbedding, timestep_embedding
from noise2map_jax.network.unet_config import UNetConfig


def unet(graph: Graph, x: Image, params: Params, config: UNetConfig, timestep: int) -> Image:
    """Apply the backbone.

    Args:
        graph: the graph.
        x: the images, of `in_channels`.
        params: parameters of the backbone.
        config: its config.
        timestep: t, which is a constant of the graph.

    Returns:
        Images of `out_channels`.

    Raises:
        UserError: the network is not defined at t.
    """
    temb = time_embedding(params, config, timestep)
    if config.center_input_sample:
        doubled = graph.add("Mul", x.name, graph.constant(2.0))
        centred = graph.add("Sub", doubled, graph.constant(1.0))
        x = Image(centred, x.channels, x.height, x.width)
    h = conv(graph, x, params["conv_in"])
    skips = [h]
    for i, kind in enumerate(config.down_block_types):
        block = params[f"down_blocks_{i}"]
        for j in range(config.layers_per_block):
            h = resnet_block(graph, (h,), block[f"resnets_{j}"], temb, config)
            if "Attn" in kind:
                weights = block[f"attentions_{j}"]
                h = attention(graph, h, weights, config, config.norm_num_groups)
            skips.append(h)
        if "downsamplers_0" in block:
            h = downsample(graph, h, block["downsamplers_0"], config)
            skips.append(h)
    h = _mid_block(graph, h, params["mid_block"], temb, config)
    for i, kind in enumerate(config.up_block_types):
        block = params[f"up_blocks_{i}"]
        for j in range(config.layers_per_block + 1):
            h = resnet_block(graph, (h, skips.pop()), block[f"resnets_{j}"], temb, config)
            if "Attn" in kind:
                weights = block[f"attentions_{j}"]
                h = attention(graph, h, weights, config, config.norm_num_groups)
        if "upsamplers_0" in block:
            h = upsample(graph, h, block["upsamplers_0"])
    assert not skips
    h = group_norm(graph, h, params["conv_norm_out"], config.norm_num_groups, config.norm_eps)
    activated = Image(silu(graph, h.name), h.channels, h.height, h.width)
    h = conv(graph, activated, params["conv_out"])
    if config.time_embedding_type == "fourier":
        divided = graph.add("Div", h.name, graph.constant(timestep))
        h = Image(divided, h.channels, h.height, h.width)
    return h


def time_embedding(params: Params, config: UNetConfig, timestep: int) -> np.ndarray:
    """Compute the embedded timestep, [D] float32.

    Raises:
        UserError: the embedding is not defined at t.
    """
    t, features = jnp.full(1, timestep, jnp.int32), config.block_out_channels[0]
    if config.time_embedding_type == "fourier":
        if timestep <= 0:
            raise UserError(
                f"the network's Fourier embedding is not defined at timestep {timestep}; predict at"
                " 1 or more, for example with --timesteps=999"
            )
        projection = FourierProjection(features)
        embedded = projection.apply({"params": params["time_proj"]}, t)
    else:
        embedded = timestep_embedding(
            t, features, flip_sin_to_cos=config.flip_sin_to_cos, freq_shift=config.freq_shift
        )
    layers = TimeEmbedding(config.time_embedding_dim or 4 * features)
    with jax.default_matmul_precision("highest"):
        temb = layers.apply({"params": params["time_embedding"]}, embedded)
    return np.asarray(temb)[0]


def _mid_block(
    graph: Graph, x: Image, params: Params, temb: np.ndarray, config: UNetConfig
) -> Image:
    factor, groups = config.mid_block_scale_factor, config.attn_norm_num_groups
    if groups is None and config.resnet_time_scale_shift == "default":
        groups = config.norm_num_groups
    h = resnet_block(graph, (x,), params["resnets_0"], temb, config, factor)
    if config.add_attention:
        h = attention(graph, h, params["attentions_0"], config, groups, factor)
    return resnet_block(graph, (h,), params["resnets_1"], temb, config, factor)
