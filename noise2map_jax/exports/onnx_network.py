"""The prediction for tiles as an ONNX graph: scaling, noise, network, mean over timesteps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.exports.onnx_graph import Graph, Image
from noise2map_jax.exports.onnx_layers import (
    Params,
    conv,
    from_patches,
    resize_align_corners,
    to_patches,
)
from noise2map_jax.exports.onnx_unet import unet
from noise2map_jax.exports.prediction import TilePrediction
from noise2map_jax.method.noise import NoiseProcess
from noise2map_jax.method.scaling import ValueRange
from noise2map_jax.network.model import Noise2Map, as_noise2map

INPUT, OUTPUT = "pixels", "probabilities"


def prediction_graph(prediction: TilePrediction, input_scale: float) -> tuple[Graph, Image, Image]:
    """Write the graph of a prediction.

    Args:
        prediction: the prediction.
        input_scale: what the graph's input is multiplied by to be pixels as stored.

    Returns:
        The graph; its input: the bands of all dates, one date after the other; its output: class
        probabilities.

    Raises:
        UserError: the prediction draws Gaussian noise.
    """
    if prediction.draws_noise:
        raise UserError(
            "the run draws Gaussian noise, which follows from a tile's place in its scene; ONNX has"
            " no such operator: use --format=stablehlo"
        )
    graph, process = Graph(), prediction.process
    model = as_noise2map(prediction.problem.model, "--format=onnx")
    size, _, bands = prediction.tile_shape
    dates = len(prediction.image_keys)
    source = Image(INPUT, bands * dates, size, size)
    x = scaled(graph, source, prediction.problem.value_range, dates, input_scale)
    predictions = []
    for t in prediction.timesteps:
        x_t = noised(graph, x, process, prediction.problem.task.swap, t)
        seen = t if bool(process.use_timestep) else 0
        logits = network(graph, x_t, prediction.params, model, prediction.config.task, seen)
        predictions.append(graph.add("Softmax", logits.name, axis=1))
    temperature = prediction.problem.temperature
    if temperature == 1:
        found = graph.add("Mean", *predictions, output=OUTPUT)
    else:
        mean = graph.add("Log", graph.add("Mean", *predictions))
        cooled = graph.add("Mul", mean, graph.constant(1 / temperature))
        found = graph.add("Softmax", cooled, axis=1, output=OUTPUT)
    return graph, source, Image(found, len(prediction.classes), size, size)


def scaled(
    graph: Graph, x: Image, value_range: ValueRange, dates: int, input_scale: float
) -> Image:
    """Map sensor values to [-1, 1], each band by its range; values outside are clipped."""
    bands = x.channels // dates
    low, high = (np.broadcast_to(np.asarray(v, np.float32), bands) for v in value_range)

    def per_band(values: Any) -> str:
        return graph.constant(np.tile(values, dates).reshape(1, -1, 1, 1))

    y = x.name
    if input_scale != 1:
        y = graph.add("Mul", y, graph.constant(input_scale))
    # In the order of `scale_images`: folded into one product, a narrow range would lose digits.
    y = graph.add("Sub", y, per_band(low))
    y = graph.add("Mul", y, per_band(2 / (high - low)))
    y = graph.add("Sub", y, graph.constant(1.0))
    y = graph.add("Clip", y, graph.constant(-1.0), graph.constant(1.0))
    return Image(y, x.channels, x.height, x.width)


def noised(
    graph: Graph,
    x: Image,
    process: NoiseProcess,
    swap: Callable[[jax.Array], jax.Array],
    timestep: int,
) -> Image:
    """Mix images with their noise at t, as `add_noise` does; the Gaussian part must be 0."""
    signal, noise = float(process.signal[timestep]), float(process.noise[timestep])
    y = graph.add("Mul", x.name, graph.constant(signal + noise * float(process.mix.image)))
    weight = noise * float(process.mix.swap)
    if weight:
        order = swap(jnp.arange(x.channels)[None, None, None, :]).ravel()
        swapped = graph.add("Gather", x.name, graph.constant(order, np.int64), axis=1)
        y = graph.add("Add", y, graph.add("Mul", swapped, graph.constant(weight)))
    return Image(y, x.channels, x.height, x.width)


def network(
    graph: Graph, x: Image, params: Params, model: Noise2Map, task: str, timestep: int
) -> Image:
    """Apply the network of `network/model.py` at t; returns logits."""
    size = x.height
    resample = model.sample_size not in (0, size)
    h = conv(graph, to_patches(graph, x, model.patch_size), params[f"{task}_input_conv"])
    if resample:
        h = resize_align_corners(graph, h, model.sample_size)
        h = conv(graph, h, params[f"{task}_input_upscaling"])
    h = unet(graph, h, params["unet"], model.unet, timestep)
    if resample:
        h = resize_align_corners(graph, h, size)
        h = conv(graph, h, params[f"{task}_output_downscaling"])
    h = conv(graph, h, params[f"{task}_output_conv"])
    return from_patches(graph, h, model.patch_size)
