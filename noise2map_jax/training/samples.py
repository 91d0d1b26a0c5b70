"""A picture of images that a denoiser samples from noise, to watch the progress of pretraining."""

import functools
import pathlib
from typing import Any

import jax
import numpy as np

from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.method.sampling import ddim_sample
from noise2map_jax.pictures import prediction_rows


def save_samples(objective: Objective, params: Any, path: pathlib.Path) -> np.ndarray:
    """Sample a grid of images with DDIM, from the same noise each time, and save it.

    The host process that draws the picture samples alone, on its first device.

    Args:
        objective: a denoising task; its config gives the number of images and of steps.
        params: the parameters.
        path: the PNG file to write.

    Returns:
        The picture, [H, W, 3] uint8.
    """
    config, problem = objective.config, objective.problem
    size = config.augment.crop_size or config.data.tile_size
    device = jax.local_devices()[0]
    params, process = jax.device_put(jax.device_get((params, objective.process)), device)
    shape = (config.eval.num_samples, size, size, config.data.num_bands)
    initial = jax.random.normal(jax.random.key(0), shape)
    denoise = jax.jit(
        functools.partial(_denoise, problem=problem), compiler_options=compiler_options([device])
    )
    images = ddim_sample(
        lambda x_t, timesteps: denoise(params, process, x_t, timesteps),
        process,
        jax.device_put(initial, device),
        num_steps=config.eval.num_sampling_steps,
        prediction_type=config.noise.prediction_type,
    )
    picture = prediction_rows.draw_grid(np.asarray((images + 1) / 2))
    prediction_rows.save_png(picture, path)
    return picture


def _denoise(
    params: Any, process: Any, x_t: jax.Array, timesteps: jax.Array, *, problem: Problem
) -> jax.Array:
    return problem.apply(process, params, x_t, timesteps)
