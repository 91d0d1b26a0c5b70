"""Mapping scenes of any size, tile by tile, with the best parameters of a finished run.

Memory does not grow with the scene.
"""

import contextlib
import functools
import itertools
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from noise2map_jax import scene, sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment import create_model, create_process
from noise2map_jax.losses import IGNORE
from noise2map_jax.progress import progress_bar
from noise2map_jax.run import load_config, restore_best
from noise2map_jax.step import Problem, predict_step
from noise2map_jax.tasks import get_task


class Predictor:
    """Maps batches of tiles with the best parameters of a run, on all local devices."""

    def __init__(self, config: ConfigDict, workdir: pathlib.Path):
        task = get_task(config.task)
        model = create_model(config)
        weights = (1.0,) * len(config.data.classes)
        problem = Problem(model, task, tuple(config.data.value_range), weights)
        mesh = sharding.create_mesh()
        _, self._params = restore_best(workdir, config, model, mesh)
        self._process = sharding.replicate(create_process(config), mesh)
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
    config = load_config(workdir)
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
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; expected at least 1")
    targets = [path for path in (output, probability) if path]
    _check_targets(paths, targets)
    with contextlib.ExitStack() as stack:
        images = [stack.enter_context(scene.open_image(path)) for path in paths]
        scene.check_images(images, data.num_bands, data.dtype)
        predictor = Predictor(config, workdir)
        batch_size = -(-batch_size // jax.device_count()) * jax.device_count()
        first = images[0]
        written = {output: scene.map_profile(first, "uint8", IGNORE)}
        if probability:
            written[probability] = scene.map_profile(first, "float32", float("nan"))
        with contextlib.ExitStack() as outputs:
            writers = [
                outputs.enter_context(scene.create_map(path, profile))
                for path, profile in written.items()
            ]
            scene.describe_map(writers[0], tuple(data.classes))
            bar = outputs.enter_context(progress_bar(first.height * first.width, "pixels"))
            remaining = scene.blocks(first.height, first.width, size, margin)
            while batch := list(itertools.islice(remaining, batch_size)):
                read = [
                    [scene.read_block(image, block.read) for image in images] for block in batch
                ]
                tiles = [tuple(pixels for pixels, _ in dates) for dates in read]
                for block, dates, p in zip(batch, read, predictor(tiles, batch_size), strict=True):
                    valid = np.all([mask for _, mask in dates], axis=0)
                    classes = np.where(valid, p.argmax(axis=-1), IGNORE).astype(np.uint8)
                    layers = (classes, np.where(valid, 1 - p[..., 0], np.float32("nan")))
                    for writer, layer in zip(writers, layers, strict=False):
                        writer.write(layer[block.inner], 1, window=block.core)
                    bar.update(block.core.height * block.core.width)


def _check_targets(sources: list[str], targets: list[str]) -> None:
    """Refuse to write over an input, or two outputs to one file."""
    seen = {pathlib.Path(path).resolve(): path for path in sources}
    for target in targets:
        place = pathlib.Path(target).resolve()
        if place in seen:
            raise UserError(
                f"{target!r} would be written over {seen[place]!r}; choose another name"
            )
        if not place.parent.is_dir():
            raise UserError(f"no folder {str(place.parent)!r} to write {target!r} to")
        seen[place] = target
