"""Predictions to export, of thin networks with random parameters."""

import jax
import numpy as np
import thin_config
from finished_runs import random_params

from noise2map_jax.experiment.components import (
    create_problem,
    create_process,
    trained_sizes,
)
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.exports.prediction import TilePrediction
from noise2map_jax.method.noise import noise_draws

ABOUT = {
    "software": "noise2map_jax 0.1.0",
    "task": "ss",
    "task_title": "semantic segmentation",
    "dtype": "uint8",
    "resolution_cm": 30.0,
    "timesteps": [999],
    "step": 7,
    "config_sha256": "0123456789abcdef",
    "scores": [],
}


def thin(task="ss", **data):
    """Return a config of tiles of 16 pixels, with every kind of block; `data` are fields of it."""
    config = thin_config.get_config()
    config.task, config.data.tile_size, config.model.sample_size = task, 16, 0
    config.model.unet.update(block_out_channels=(8, 8), add_attention=True)
    if task == "cd":
        config.data.classes = ("no_change", "change")
    config.data.update(data)
    return config


def prediction(config, model=None, deviation=0.2):
    """Return the prediction of a config; `model` stands in for the network that it describes."""
    model = model or create_model(config)
    process = create_process(config)
    return TilePrediction(
        config=config,
        problem=create_problem(config, model, (1.0,) * len(config.data.classes)),
        params=random_params(model, trained_sizes(config), deviation=deviation),
        process=process,
        draws=noise_draws(process, config.eval.num_noise_draws),
        tile_size=config.data.tile_size,
    )


def tiles(prediction, num=2, seed=0):
    """Return random tiles of each date, [num, S, S, C] as stored."""
    dtype = np.dtype(prediction.config.data.dtype)
    rng = np.random.default_rng(seed)
    shape = (num, *prediction.tile_shape)
    return [
        rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
        for _ in prediction.image_keys
    ]


def stacked(images):
    """Return the dates as one array [N, dates * C, S, S] float32."""
    return np.moveaxis(np.concatenate(images, -1), -1, 1).astype(np.float32)


def expected(prediction, *inputs):
    """Return the probabilities that JAX computes, [N, S, S, K]."""
    return np.asarray(jax.jit(prediction.probabilities)(*inputs))
