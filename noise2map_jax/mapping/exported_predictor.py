"""An exported network on batches of tiles."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.exports.loaded import LoadedModel
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.steps.eval_step import Prediction


class ExportedPredictor:
    """Predicts tiles as `Predictor` does, by a program that holds all but the pixels.

    Attributes:
        num_predictions: always 1: how many predictions the program averages is its own affair.
    """

    num_predictions = 1

    def __init__(self, program: LoadedModel, options: PredictionOptions):
        """Check that the program can do what is asked for.

        Raises:
            UserError: something else is asked for than the program does.
        """
        size, steps = program.tile_size, tuple(program.metadata["timesteps"])
        fixed = "; export the run again, or map with the run itself"
        if options.tile_size not in (0, size):
            raise UserError(
                f"tile_size is {options.tile_size}, but this export is for tiles of {size}{fixed}"
            )
        if options.timesteps not in ((), steps):
            raise UserError(
                f"timesteps are {options.timesteps}, but this export predicts at {steps}{fixed}"
            )
        temperature = program.metadata["temperature"]
        if options.temperature not in (None, temperature):
            raise UserError(
                f"temperature is {options.temperature:g}, but that of this export is"
                f" {temperature:g}{fixed}"
            )
        if options.symmetries:
            raise UserError(f"this export predicts each tile once, without symmetries{fixed}")
        self._program = program

    def __call__(
        self,
        tiles: Sequence[tuple[np.ndarray, ...]],
        places: Sequence[tuple[int, int]],
        number: int,
    ) -> Prediction:
        """Predict N tiles of a scene; arguments and result as of `Predictor`."""
        filled = [*tiles, *[tiles[0]] * (number - len(tiles))]
        dates = [np.stack([tile[i] for tile in filled]) for i in range(len(tiles[0]))]
        position = {}
        if self._program.needs_position:
            rows, columns = np.zeros((2, number), np.int32)
            rows[: len(places)], columns[: len(places)] = np.array(places).T
            position = {"row": rows, "column": columns}
        found = self._program.predict_tiles(*dates, **position)
        return Prediction(jnp.asarray(found), jnp.zeros(found.shape[:-1]))
