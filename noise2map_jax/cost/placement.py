"""What a config leaves unused of its devices, as a sentence each."""

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.cost.accelerators import GIB, accelerator_of

LEAST_ROWS = 8  # images that fill the 8 rows of a TPU's vector register
LARGE_SHARE = 0.1  # of a device's memory, from which parameters are worth splitting


def placement_warnings(config: ConfigDict, mesh: Mesh, state: Any) -> list[str]:
    """Say what would let the devices do more; nothing of CPUs and unknown devices.

    Args:
        config: the experiment.
        mesh: the devices that it runs on.
        state: the training state, or its shapes.

    Returns:
        A sentence each.
    """
    device = mesh.devices.flat[0]
    lines, accelerator = [], accelerator_of(device)
    rows = config.train.batch_size // (mesh.size * config.train.num_microbatches)
    if device.platform == "tpu" and rows < LEAST_ROWS:
        ways = "a larger train.batch_size"
        if config.train.num_microbatches > 1:
            ways += " or fewer train.num_microbatches"
        lines.append(
            f"{rows} image(s) a chip at a time leave rows of its registers empty, which hold "
            f"{LEAST_ROWS}: use {ways}"
        )
    held = sum(
        math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(state)
    )
    whole = mesh.size > 1 and mesh.shape["fsdp"] == 1
    if accelerator and whole and held > LARGE_SHARE * accelerator.usable:
        lines.append(
            f"every device holds all parameters, optimiser and averages, {held / GIB:.1f} of "
            f"{accelerator.usable / GIB:.1f} GiB: mesh.fsdp splits them over devices"
        )
    return lines
