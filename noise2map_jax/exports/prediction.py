"""The prediction of a finished run as a function of pixels: what every export holds."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import (
    create_problem,
    create_process,
    create_task,
    predicting_at,
    trained_sizes,
)
from noise2map_jax.experiment.map_tiles import map_tile_size
from noise2map_jax.experiment.network_choice import sample_size
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.experiment.task_configs import task_config
from noise2map_jax.method.noise import NoiseProcess, has_gaussian, noise_draws
from noise2map_jax.steps.eval_step import predict_step
from noise2map_jax.weights.finished_run import FinishedRun, read_run
from noise2map_jax.weights.place import find
from noise2map_jax.weights.single_file import SUFFIX, check_single_file, read_single_file

POSITION = ("row", "column")  # of a tile's first pixel: inputs where noise is drawn


@dataclasses.dataclass(frozen=True)
class TilePrediction:
    """The prediction of one task for tiles of one size, with the best parameters of a run.

    Attributes:
        config: config of the task, with the timesteps of this prediction.
        problem: network, task and scaling.
        params: the parameters that the task uses, NumPy arrays.
        process: the noise process.
        draws: [D] int32, numbers of the Gaussian noise draws that are averaged.
        tile_size: S, side of a tile in pixels.
    """

    config: ConfigDict
    problem: Problem
    params: dict[str, Any]
    process: NoiseProcess
    draws: np.ndarray
    tile_size: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return tuple(self.config.data.classes)

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Names of the images that a map is made of: `image`, or `pre` and `post`."""
        return self.problem.task.image_keys

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Shape of one image of a tile: S, S, C."""
        return self.tile_size, self.tile_size, self.config.data.num_bands

    @property
    def timesteps(self) -> tuple[int, ...]:
        """The timesteps that the prediction averages over."""
        return tuple(int(t) for t in self.process.inference_timesteps)

    @property
    def draws_noise(self) -> bool:
        """Whether Gaussian noise is drawn, which follows from the tile's position."""
        return has_gaussian(self.process)

    @property
    def input_keys(self) -> tuple[str, ...]:
        """Names of the arguments of `probabilities`."""
        return (*self.image_keys, *(POSITION if self.draws_noise else ()))

    def probabilities(self, *inputs: jax.Array) -> jax.Array:
        """Predict tiles; pure, with the parameters as constants.

        Args:
            inputs: in the order of `input_keys`: images [B, S, S, C] as stored; where noise is
                drawn, row and column [B] int32 of each tile's first pixel in its scene too.

        Returns:
            Class probabilities [B, S, S, K] float32.
        """
        batch = dict(zip(self.input_keys, inputs, strict=True))
        num = inputs[0].shape[0]
        # As in maps of scenes: every scene has the noise of scene 0.
        origin = {key: jnp.zeros(num, jnp.int32) for key in POSITION}
        batch = origin | {"scene": jnp.zeros(num, jnp.uint32)} | batch
        draws = jnp.asarray(self.draws)
        return predict_step(
            self.params, batch, self.process, draws, problem=self.problem
        ).probabilities


def read_prediction(
    workdir: str | pathlib.Path,
    *,
    task: str = "",
    timesteps: Sequence[int] = (),
    tile_size: int = 0,
) -> tuple[FinishedRun, TilePrediction]:
    """Read the prediction of a finished run.

    Args:
        workdir: the run's work folder or its address; or a file of weights that tells its network,
            such as `shipped:drawn_ss`.
        task: task of the head to use; "" = the only one.
        timesteps: timesteps to predict at and average over; empty = those of the run.
        tile_size: side of the tiles in pixels; 0 = that of the run's maps.

    Returns:
        The run, and the prediction of its task.

    Raises:
        UserError: there is no finished run, it predicts no classes, or an option does not fit it.
    """
    path = find(str(workdir))
    if path.suffix == SUFFIX and not path.is_dir():
        check_single_file(str(workdir), path)
        run = read_single_file(path)
    else:
        run = read_run(path)
    config = task_config(run.config, task)
    if not create_task(config).has_classes:
        raise UserError(f"the run {str(workdir)!r} was trained to denoise; it predicts no maps")
    config = predicting_at(config, timesteps)
    process = create_process(config)
    other_heads = tuple(f"{h.task}_" for h in run.model.heads if h.task != config.task)
    prediction = TilePrediction(
        config=config,
        problem=create_problem(config, run.model, (1.0,) * len(config.data.classes)),
        params={k: v for k, v in run.params.items() if not k.startswith(other_heads)},
        process=process,
        draws=noise_draws(process, config.eval.num_noise_draws),
        tile_size=_tile_size(config, tile_size),
    )
    shape = jax.ShapeDtypeStruct((1, *prediction.tile_shape), config.data.dtype)
    position = jax.ShapeDtypeStruct((1,), jnp.int32)
    inputs = [position if key in POSITION else shape for key in prediction.input_keys]
    jax.eval_shape(prediction.probabilities, *inputs)  # finds a size that the network cannot take
    return run, prediction


def _tile_size(config: ConfigDict, asked: int) -> int:
    """Return the side of tiles; refuse one that would change the scale that the backbone sees."""
    own, backbone = trained_sizes(config)[config.task], sample_size(config)
    if asked < 0:
        raise UserError(f"tile_size is {asked}; expected a number of pixels, or 0 for the run's")
    if asked not in (0, own) and backbone:
        raise UserError(
            f"tile_size is {asked}, but the run resamples every tile to {backbone} pixels"
            f" (model.sample_size), so another size would change the scale: leave it at {own}"
        )
    return asked or (own if backbone else map_tile_size(config))
