"""Whole predictions in onnxruntime and in JAX: the same probabilities."""

import dataclasses

import exported_networks
import numpy as np
import onnx
import onnxruntime
import pytest
from exported_networks import prediction, stacked, thin, tiles

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.exports.onnx_file import PIXELS
from noise2map_jax.exports.onnx_network import INPUT, prediction_graph
from noise2map_jax.network.unet import block_types


def probabilities(prediction, images, pixels="stored"):
    """Return what the graph gives, [N, S, S, K]."""
    model = prediction_graph(prediction, PIXELS[pixels])
    model = model[0].model(*model[1:])
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = stacked(images) / np.float32(PIXELS[pixels])
    return np.moveaxis(session.run(None, {INPUT: x})[0], 1, -1)


def assert_alike(prediction, pixels="stored", num=2):
    unet = prediction.problem.model.unet
    if unet.time_embedding_type == "fourier":  # the output is divided by t, which would hide it
        last = prediction.params["unet"]["conv_out"]
        last["kernel"] = last["kernel"] * prediction.timesteps[-1]
    images = tiles(prediction, num)
    wanted = exported_networks.expected(prediction, *images)
    found = probabilities(prediction, images, pixels)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert wanted.std(axis=(0, 1, 2)).min() > 0.01  # not the same everywhere
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)


def attended(config):
    """The backbone with attention at a level, as diffusers' other option pads and embeds."""
    unet = config.model.unet
    unet.attention_levels, unet.attention_head_dim = (1,), 4
    unet.downsample_padding, unet.flip_sin_to_cos, unet.freq_shift = 1, True, 0.0
    unet.block_out_channels = (8, 16)
    return config


def test_one_image_at_one_timestep():
    config = thin()
    config.noise.inference_timesteps = (300,)
    assert_alike(prediction(config), "scaled", num=3)


def test_pairs_exchange_their_dates_and_timesteps_are_averaged():
    """At t = 400 neither the pair nor its exchange is negligible."""
    ranges = ((0.0, 255.0), (0.0, 90.0), (50.0, 200.0))  # of the bands of each date
    config = attended(thin("cd", classes=("none", "new", "gone"), band_ranges=ranges))
    config.noise.inference_timesteps = (400, 700, 999)
    own = prediction(config)
    assert_alike(own)
    pre, post = tiles(own)
    exchanged = probabilities(own, [post, pre]) - probabilities(own, [pre, post])
    assert np.abs(exchanged).max() > 0.01


def test_tiles_are_resampled_to_the_size_of_the_backbone():
    """Bands of uint16 have their own ranges, and some pixels lie outside."""
    ranges = ((100.0, 30000.0), (0.0, 65535.0), (20000.0, 20500.0), (5.0, 9000.0))
    config = thin(dtype="uint16", num_bands=4, band_ranges=ranges)
    config.data.tile_size, config.model.sample_size = 24, 16
    config.noise.use_timestep = False
    assert_alike(prediction(config))


@pytest.mark.parametrize(("task", "patch_size"), [("ss", 2), ("cd", 3)])
def test_patches_are_the_same_pixels(task, patch_size):
    config = thin(task, classes=("none", "new", "gone"))
    config.data.tile_size = 2 * patch_size * 4
    config.model.patch_size, config.model.sample_size = patch_size, 0
    assert_alike(prediction(config))


def test_fields_that_only_diffusers_configs_have():
    config = thin("cd")
    config.noise.kind = "clean_timestep"
    config.noise.inference_timesteps = (5, 800)
    model = create_model(config)
    down, up = block_types((8, 8), (0,))
    unet = dataclasses.replace(
        model.unet,
        center_input_sample=True,
        time_embedding_type="fourier",
        time_embedding_dim=12,
        down_block_types=down,
        up_block_types=up,
        mid_block_scale_factor=1.5,
        resnet_time_scale_shift="scale_shift",
    )
    own = prediction(config, dataclasses.replace(model, unet=unet))
    assert_alike(own)
    config.noise.inference_timesteps = (0,)
    own = prediction(config, dataclasses.replace(model, unet=unet))
    with pytest.raises(UserError, match=r"Fourier embedding is not defined at timestep 0; .*999$"):
        prediction_graph(own, 1.0)


SHAPES = [
    {"add_attention": False},
    {"attn_norm_num_groups": 2},
    {"layers_per_block": 2, "norm_num_groups": 2},
    {"block_out_channels": (8, 12, 16), "down_block_types": ("DownBlock2D",) * 3}
    | {"up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D")},
    {"downsample_padding": 1},
    {"time_embedding_type": "fourier"},
    {"resnet_time_scale_shift": "scale_shift"},
    {"center_input_sample": True},
]


@pytest.mark.long
@pytest.mark.parametrize("task", ["ss", "cd"])
@pytest.mark.parametrize("fields", SHAPES, ids=lambda fields: next(iter(fields)))
def test_every_field_of_the_backbone(task, fields):
    config = thin(task)
    config.noise.inference_timesteps = (600,)
    model = create_model(config)
    unet = dataclasses.replace(model.unet, **fields)
    assert_alike(prediction(config, dataclasses.replace(model, unet=unet)))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["structured", "clean", "clean_timestep"])
@pytest.mark.parametrize("mix", ["image", "swap"])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_every_kind_of_noise_without_draws(kind, mix, num_classes):
    config = thin("cd", classes=tuple(map(str, range(num_classes))))
    config.noise.kind, config.noise.mix = kind, mix
    config.noise.inference_timesteps = (350, 999)
    assert_alike(prediction(config))


def test_gaussian_noise_is_refused():
    config = thin()
    config.noise.mix = "gaussian"
    with pytest.raises(UserError, match="no such operator: use --format=stablehlo"):
        prediction_graph(prediction(config), 1.0)
    config.noise.kind = "clean"  # then there is none
    prediction_graph(prediction(config), 1.0)
