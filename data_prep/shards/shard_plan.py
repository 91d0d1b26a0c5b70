"""Divides scenes into shards (pure)."""

import numpy as np

from data_prep.basics import tiles
from data_prep.basics.dataset import Dataset, Scene

# Bytes of raw pixels in a shard. A shard is held in memory while it is written (compressed, to
# about three quarters), and a dataset of the paper's size has tens of shards, not thousands.
SHARD_BYTES = 128 * 2**20


def of(dataset: Dataset) -> dict[str, list[list[Scene]]]:
    """Divide the scenes of each split into shards.

    Args:
      dataset: The dataset to divide.

    Returns:
      Split -> shards, each a list of whole consecutive scenes of about SHARD_BYTES raw pixels.
    """
    layout = dataset.format
    record_bytes = layout.tile_size**2 * layout.num_bands * np.dtype(layout.dtype).itemsize
    record_bytes *= len(layout.images)
    plan: dict[str, list[list[Scene]]] = {}
    filled: dict[str, int] = {}
    for scene in dataset.scenes:
        size = tiles.count(scene.height, scene.width, layout.tile_size) * record_bytes
        shards = plan.setdefault(scene.split, [])
        if not shards or filled[scene.split] + size > SHARD_BYTES:
            shards.append([])
            filled[scene.split] = 0
        shards[-1].append(scene)
        filled[scene.split] += size
    return plan
