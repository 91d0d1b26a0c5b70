"""The network on batches of tiles, on all local devices."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.data.tile_position import position
from noise2map_jax.devices import sharding
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.experiment.components import create_problem, create_process
from noise2map_jax.method.noise import noise_draws
from noise2map_jax.network.interface import Network
from noise2map_jax.steps.eval_step import Prediction, predict_step
from noise2map_jax.steps.symmetric_prediction import symmetric_predict_step


class Predictor:
    """Predicts tiles; compiles once for each size of tile.

    Attributes:
        num_predictions: how many predictions of the network a result is the mean of.
    """

    def __init__(
        self, config: ConfigDict, model: Network, params: Any, mesh: Mesh, *, symmetries: bool
    ):
        """Prepare the program.

        Args:
            config: config of one task.
            model: the network.
            params: its parameters, replicated on the mesh.
            mesh: the devices.
            symmetries: whether to average over the eight symmetries of the square.
        """
        problem = create_problem(config, model, (1.0,) * len(config.data.classes))
        process = create_process(config)
        draws = noise_draws(process, config.eval.num_noise_draws)
        step = symmetric_predict_step if symmetries else predict_step
        self.num_predictions = len(draws) * len(config.noise.inference_timesteps) * 8**symmetries
        self._params, self._mesh, self._keys = params, mesh, problem.task.image_keys
        self._noise = sharding.replicate((process, draws), mesh)
        self._step = jax.jit(
            functools.partial(step, problem=problem),
            compiler_options=compiler_options(mesh.devices.flat),
        )

    def __call__(
        self,
        tiles: Sequence[tuple[np.ndarray, ...]],
        places: Sequence[tuple[int, int]],
        number: int,
    ) -> Prediction:
        """Begin to predict N tiles of a scene; does not wait for the devices.

        Args:
            tiles: N tiles, each a tuple of images [S, S, C], one a date.
            places: row and column of each tile's first pixel in the scene.
            number: B, number of tiles of the compiled program, N or more.

        Returns:
            Probabilities [B, S, S, K] and uncertainty [B, S, S]; the first N rows count.
        """
        blank = tuple(np.zeros_like(date) for date in tiles[0])
        filled = [*tiles, *[blank] * (number - len(tiles))]
        batch = {key: np.stack([tile[i] for tile in filled]) for i, key in enumerate(self._keys)}
        # Every scene gets the noise of scene number 0, so a map does not depend on a file's name.
        positions = [position(0, *place) for place in places]
        positions += [position(0, 0, 0)] * (number - len(tiles))
        batch |= {key: np.stack([p[key] for p in positions]) for key in positions[0]}
        prediction: Prediction = self._step(
            self._params, sharding.shard_batch(batch, self._mesh), *self._noise
        )
        return prediction
