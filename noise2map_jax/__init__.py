"""Noise2Map in JAX: a diffusion U-Net that maps buildings and their changes in one forward pass."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noise2map_jax.mapping.model import Model

__version__ = "0.1.0"


def load(source: str | os.PathLike[str], *, task: str = "") -> "Model":
    """Load a trained network, to map arrays of any size with `model.predict(image)`.

    Args:
        source: the work folder of a finished run, a folder of exported weights, or `hf:OWNER/REPO`.
        task: `ss` or `cd`, for a run of several tasks.

    Raises:
        UserError: there is no such run or export, or it has no head for the task.
    """
    from noise2map_jax.mapping.loading import load  # heavy, and most programs do not need it

    return load(source, task=task)
