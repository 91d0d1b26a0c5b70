"""Maps of scenes of any size, tile by tile, with the best parameters of a finished run.

Memory does not grow with the scene.
"""

import contextlib
import functools
import itertools
import pathlib
import sys
from collections.abc import Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from data_prep.imagery.band_choice import BandChoice
from noise2map_jax.data.tile_position import position
from noise2map_jax.devices import sharding
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import create_model, create_process, create_task
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.experiment.run_config import load_config
from noise2map_jax.experiment.scaling_config import value_range
from noise2map_jax.experiment.task_configs import task_config
from noise2map_jax.mapping import map_file, pair, scene
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.method.noise import noise_draws
from noise2map_jax.progress import progress_bar
from noise2map_jax.steps.eval_step import predict_step


class Predictor:
    """Maps batches of tiles with the best parameters of a run, on all local devices."""

    def __init__(self, config: ConfigDict, view: ConfigDict, workdir: pathlib.Path):
        task = create_task(view)
        model = create_model(config)
        weights = (1.0,) * len(view.data.classes)
        problem = Problem(model, task, value_range(view), weights)
        mesh = sharding.create_mesh()
        _, self._params = restore_best(workdir, config, model, mesh)
        process = create_process(view)
        draws = noise_draws(process, view.eval.num_noise_draws)
        self._noise = sharding.replicate((process, draws), mesh)
        self._step = jax.jit(
            functools.partial(predict_step, problem=problem),
            compiler_options=compiler_options(mesh.devices.flat),
        )
        self._mesh = mesh
        self.image_keys = task.image_keys

    def __call__(
        self,
        tiles: list[tuple[np.ndarray, ...]],
        places: list[tuple[int, int]],
        batch_size: int,
    ) -> tuple[np.ndarray, ...]:
        """Predict N tiles of a scene.

        Args:
            tiles: N tiles, each a tuple of images [S, S, C], one a date.
            places: row and column of each tile's first pixel in the scene.
            batch_size: number of tiles of the compiled call, N or more.

        Returns:
            Probabilities [N, S, S, K], uncertainty [N, S, S].
        """
        blank = tuple(np.zeros_like(date) for date in tiles[0])
        filled = tiles + [blank] * (batch_size - len(tiles))
        batch = {
            key: np.stack([tile[i] for tile in filled]) for i, key in enumerate(self.image_keys)
        }
        # Every scene gets the noise of scene number 0, so a map does not depend on a file's name.
        positions = [position(0, *place) for place in places]
        positions += [position(0, 0, 0)] * (batch_size - len(tiles))
        batch |= {key: np.stack([p[key] for p in positions]) for key in positions[0]}
        prediction = self._step(self._params, sharding.shard_batch(batch, self._mesh), *self._noise)
        return tuple(np.asarray(array)[: len(tiles)] for array in prediction)


def map_scene(
    workdir: pathlib.Path,
    paths: list[str],
    output: str,
    *,
    task: str = "",
    probability: str = "",
    uncertainty: str = "",
    timesteps: Sequence[int] = (),
    batch_size: int = 8,
    margin: int = -1,
    choice: BandChoice | None = None,
) -> None:
    """Map a scene.

    Args:
        workdir: the work folder of a run that has a best checkpoint.
        paths: the image, or the images before and after.
        output: GeoTIFF to write with class indices.
        task: task of the head to use, in a run of several tasks.
        probability: GeoTIFF to write with 1 - P(class 0), float32; "" = none.
        uncertainty: GeoTIFF to write with the standard deviation of that probability over
            timesteps and Gaussian noise draws, float32; "" = none.
        timesteps: timesteps to predict at and average over; empty = those of the run.
        batch_size: number of tiles predicted at once.
        margin: width in pixels of a tile's border that is not used; -1 = an eighth of the tile.
        choice: which bands of the images are read; None = those of the run's dataset.

    Raises:
        UserError: the images do not fit the run or each other, or an option is invalid.
    """
    run_config = load_config(workdir)
    config = task_config(run_config, task)
    if timesteps:
        config.noise.inference_timesteps = tuple(timesteps)
    kind, data = create_task(config), config.data
    nodata = None if data.nodata < 0 else data.nodata
    choice = choice or BandChoice(data.bands, data.alpha, nodata)
    if not kind.has_classes:
        raise UserError(f"the run {str(workdir)!r} was trained to denoise; it predicts no maps")
    num_timesteps = len(config.noise.inference_timesteps)
    num_draws = len(noise_draws(create_process(config), config.eval.num_noise_draws))
    if uncertainty and num_timesteps * num_draws < 2:
        raise UserError(
            f"an uncertainty needs several timesteps, but the run predicts at {num_timesteps}; "
            "give more, for example --timesteps=700,800,900,999"
        )
    if len(paths) != len(kind.image_keys):
        raise UserError(
            f"task {kind.name!r} takes {len(kind.image_keys)} image(s) "
            f"({', '.join(kind.image_keys)}), but {len(paths)} are given; see --post"
        )
    size = data.tile_size
    margin = size // 8 if margin < 0 else margin
    if not 0 <= 2 * margin < size:
        raise UserError(f"margin is {margin}; expected less than half of the tile, {size} pixels")
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; expected at least 1")
    targets = [path for path in (output, probability, uncertainty) if path]
    map_file.check_targets(paths, targets)
    with contextlib.ExitStack() as stack:
        images = [stack.enter_context(scene.open_image(path, choice)) for path in paths]
        scene.check_images(images, data.num_bands, data.dtype)
        images, notes = pair.aligned(images)
        for note in (*(f"{i.path} is {note}" for i in images for note in i.notes), *notes):
            print(f"note: {note}", file=sys.stderr)
        grid = images[0].grid
        dtypes = {path: "uint8" if path == output else "float32" for path in targets}
        map_file.check_space(grid, dtypes)
        predictor = Predictor(run_config, config, workdir)
        batch_size = -(-batch_size // jax.device_count()) * jax.device_count()
        nodata = {"uint8": IGNORE, "float32": float("nan")}
        with contextlib.ExitStack() as outputs:
            writers = [
                outputs.enter_context(
                    map_file.create_map(path, map_file.map_profile(grid, dtype, nodata[dtype]))
                )
                for path, dtype in dtypes.items()
            ]
            map_file.describe_map(writers[0], tuple(data.classes))
            bar = outputs.enter_context(progress_bar(grid.height * grid.width, "map", "pixels"))
            remaining = scene.blocks(grid.height, grid.width, size, margin)
            while batch := list(itertools.islice(remaining, batch_size)):
                read = [
                    [scene.read_block(image, block.read) for image in images] for block in batch
                ]
                tiles = [tuple(pixels for pixels, _ in dates) for dates in read]
                places = [(block.read.row_off, block.read.col_off) for block in batch]
                prediction = predictor(tiles, places, batch_size)
                for block, dates, p, u in zip(batch, read, *prediction, strict=True):
                    valid = np.all([mask for _, mask in dates], axis=0)
                    layers = [np.where(valid, p.argmax(axis=-1), IGNORE).astype(np.uint8)]
                    for path, values in ((probability, 1 - p[..., 0]), (uncertainty, u)):
                        if path:
                            layers.append(np.where(valid, values, np.float32("nan")))
                    for writer, layer in zip(writers, layers, strict=True):
                        writer.write(layer[block.inner], 1, window=block.core)
                    bar.update(block.core.height * block.core.width)
