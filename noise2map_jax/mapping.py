"""Mapping scenes of any size, tile by tile, with the best parameters of a finished run.

Memory does not grow with the scene.
"""

import contextlib
import functools
import itertools
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import rasterio
from ml_collections import ConfigDict

from noise2map_jax import checkpoint, scene, sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment import create_model, create_process
from noise2map_jax.losses import IGNORE
from noise2map_jax.model import init_params
from noise2map_jax.progress import progress_bar
from noise2map_jax.step import Problem, predict_step
from noise2map_jax.tasks import get_task


def load_run(workdir: pathlib.Path) -> ConfigDict:
    """Read the config of a run, or raise a `UserError` if there is none."""
    path = workdir / "config.json"
    if not path.is_file():
        raise UserError(f"no run in {str(workdir)!r}: it has no config.json; train first")
    config = json.loads(path.read_text())

    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tuples(v) for key, v in value.items()}
        return tuple(value) if isinstance(value, list) else value

    return ConfigDict(tuples(config))


class Predictor:
    """Maps batches of tiles with the best parameters of a run, on all local devices."""

    def __init__(self, config: ConfigDict, workdir: pathlib.Path):
        task = get_task(config.task)
        model = create_model(config)
        weights = (1.0,) * len(config.data.classes)
        problem = Problem(model, task, tuple(config.data.value_range), weights)
        mesh = sharding.create_mesh()
        replicated = sharding.replicated(mesh)
        trained_size = config.augment.crop_size or config.data.tile_size
        shapes = jax.eval_shape(
            functools.partial(init_params, model, tile_size=trained_size), jax.random.key(0)
        )
        checkpoints = checkpoint.Checkpoints(workdir / "checkpoints")
        self._params = checkpoints.restore_best(checkpoint.abstract_like(shapes, replicated))
        checkpoints.close()
        self._process = jax.device_put(create_process(config), replicated)
        self._step = jax.jit(functools.partial(predict_step, problem=problem))
        self._mesh = mesh
        self.image_keys = task.image_keys

    def __call__(self, tiles: list[tuple[np.ndarray, ...]], batch_size: int) -> np.ndarray:
        """Return probabilities [number of tiles, S, S, K] of tiles, each a tuple of dates."""
        blank = tuple(np.zeros_like(date) for date in tiles[0])
        filled = tiles + [blank] * (batch_size - len(tiles))
        batch = {
            key: np.stack([tile[i] for tile in filled]) for i, key in enumerate(self.image_keys)
        }
        probabilities = self._step(
            self._params, sharding.shard_batch(batch, self._mesh), self._process
        )
        return np.asarray(probabilities)[: len(tiles)]


def map_scene(
    workdir: pathlib.Path,
    paths: list[str],
    output: str,
    *,
    probability: str = "",
    batch_size: int = 8,
    margin: int = -1,
) -> None:
    """Map a scene.

    Args:
        workdir: a run that has a best checkpoint.
        paths: the image, or the images before and after.
        output: the GeoTIFF of class indices to write.
        probability: a GeoTIFF of the probability of not being class 0, float32, to write; or "".
        batch_size: tiles predicted at once.
        margin: pixels at a tile's edges that are not used; -1 = an eighth of the tile.

    Raises:
        UserError: images that do not fit the run or each other.
    """
    config = load_run(workdir)
    task, data = get_task(config.task), config.data
    if len(paths) != len(task.image_keys):
        raise UserError(
            f"task {task.name!r} takes {len(task.image_keys)} image(s) "
            f"({', '.join(task.image_keys)}), but {len(paths)} given; see --post"
        )
    size = data.tile_size
    margin = size // 8 if margin < 0 else margin
    if not 0 <= 2 * margin < size:
        raise UserError(f"margin is {margin}; expected less than half of the tile, {size} pixels")
    with contextlib.ExitStack() as stack:
        images = [stack.enter_context(scene.open_image(path)) for path in paths]
        scene.check_images(images, data.num_bands, data.dtype)
        predictor = Predictor(config, workdir)
        batch_size = -(-batch_size // jax.device_count()) * jax.device_count()
        first = images[0]
        # Written beside the target and renamed: a map that is there is whole.
        written = {output: scene.map_profile(first, "uint8", IGNORE)}
        if probability:
            written[probability] = scene.map_profile(first, "float32", None)
        with contextlib.ExitStack() as outputs:
            writers = [
                outputs.enter_context(rasterio.open(f"{path}.part", "w", **profile))
                for path, profile in written.items()
            ]
            scene.describe_map(writers[0], tuple(data.classes))
            bar = outputs.enter_context(progress_bar(first.height * first.width, "pixels"))
            remaining = scene.blocks(first.height, first.width, size, margin)
            while batch := list(itertools.islice(remaining, batch_size)):
                read = [
                    [scene.read_block(image, block.read, data.num_bands) for image in images]
                    for block in batch
                ]
                tiles = [tuple(pixels for pixels, _ in dates) for dates in read]
                for block, dates, p in zip(batch, read, predictor(tiles, batch_size), strict=True):
                    valid = np.all([mask for _, mask in dates], axis=0)
                    classes = np.where(valid, p.argmax(axis=-1), IGNORE).astype(np.uint8)
                    layers = (classes, 1 - p[..., 0])
                    for writer, layer in zip(writers, layers, strict=False):
                        writer.write(layer[block.inner], 1, window=block.core)
                    bar.update(block.core.height * block.core.width)
        for path in written:
            os.replace(f"{path}.part", path)
