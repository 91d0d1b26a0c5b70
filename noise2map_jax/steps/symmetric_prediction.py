"""Prediction averaged over the eight symmetries of the square (test-time augmentation)."""

from typing import Any

import jax
import jax.numpy as jnp

from noise2map_jax.experiment.problem import Batch, Problem
from noise2map_jax.method.augment import flip_and_turn
from noise2map_jax.method.noise import NoiseProcess
from noise2map_jax.steps.eval_step import Prediction, predict_step

SYMMETRIES = 8
# flip_and_turn flips first and transposes last; these undo it: of those that transpose, the two
# quarter turns are each other's inverse.
INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)

Sums = tuple[jax.Array, jax.Array, jax.Array]


def symmetric_predict_step(
    params: Any, batch: Batch, process: NoiseProcess, draws: jax.Array, *, problem: Problem
) -> Prediction:
    """Predict each tile in its eight flips and turns, turned back and averaged.

    Args:
        params: the parameters.
        batch: as in `eval_step`; tiles are squares.
        process: the noise process. Gaussian noise stays where it is while the image turns, so each
            symmetry is a draw of its own.
        draws: as in `eval_step`.
        problem: the static part.

    Returns:
        Probabilities are means over symmetries, timesteps and draws; the uncertainty is the
        standard deviation over all of them.
    """
    keys = problem.task.image_keys

    def turned_by(values: jax.Array, symmetry: jax.Array) -> jax.Array:
        return flip_and_turn(values, jnp.full(values.shape[:1], symmetry))

    def add(sums: Sums, symmetries: tuple[jax.Array, jax.Array]) -> tuple[Sums, None]:
        symmetry, inverse = symmetries
        turned = batch | {key: turned_by(batch[key], symmetry) for key in keys}
        found = predict_step(params, turned, process, draws, problem=problem)
        probabilities = turned_by(found.probabilities, inverse)
        variance = turned_by(found.uncertainty[..., None] ** 2, inverse)[..., 0]
        foreground = 1 - probabilities[..., 0]
        total, squares, variances = sums
        return (total + probabilities, squares + foreground**2, variances + variance), None

    shape = (*batch[keys[0]].shape[:3],)
    start = jnp.zeros((*shape, problem.num_classes)), jnp.zeros(shape), jnp.zeros(shape)
    numbers = jnp.arange(SYMMETRIES), jnp.asarray(INVERSE)
    sums, _ = jax.lax.scan(add, start, numbers)
    probabilities, squares, variances = (total / SYMMETRIES for total in sums)
    between = squares - (1 - probabilities[..., 0]) ** 2  # of the means
    return Prediction(probabilities, jnp.sqrt(jnp.maximum(variances + between, 0)))
