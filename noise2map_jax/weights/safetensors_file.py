"""Safetensors files, read and written whole or not at all."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from noise2map_jax.errors import UserError


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read all tensors of a file, as stored.

    Args:
        path: the file.

    Returns:
        Arrays by their name.

    Raises:
        UserError: the file is truncated, or no safetensors file.
    """
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); copy it again") from error


def write_safetensors(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors to a file, which is there when it is whole.

    Args:
        path: the file; one that is there is replaced.
        tensors: contiguous arrays by their name, in PyTorch's layout.
    """
    temporary = path.with_name(path.name + ".tmp")
    # What torch's own writer notes; transformers and old diffusers refuse files without it.
    safetensors.numpy.save_file(dict(tensors), temporary, metadata={"format": "pt"})
    os.replace(temporary, path)
