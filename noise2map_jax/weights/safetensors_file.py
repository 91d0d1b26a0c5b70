"""Reading and writing safetensors files, completely or not at all."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from noise2map_jax.errors import UserError

MODEL_FILE = "model.safetensors"  # the file of a folder of timm, transformers or an exported rival


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read all tensors of a file, as stored.

    Args:
        path: the file.

    Returns:
        Arrays by name.

    Raises:
        UserError: the file is truncated, or not a safetensors file.
    """
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError) as error:
        raise UserError(
            f"{path}: not a complete safetensors file ({error}); copy it again"
        ) from error


def read_metadata(path: pathlib.Path) -> dict[str, str]:
    """Read the texts that a file holds beside its tensors; raises as `read_safetensors` does."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a complete safetensors file ({error}); copy it again"
        ) from error


def write_safetensors(
    path: pathlib.Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a file, completely or not at all.

    Args:
        path: the file; an existing one is replaced.
        tensors: contiguous arrays by name, in PyTorch's layout.
        metadata: texts to keep beside them.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    # The metadata of torch's writer; transformers and old diffusers refuse files without it.
    about = {"format": "pt", **(metadata or {})}
    try:
        # Its own `save_file` lets nobody but the owner read the file, whatever the umask.
        temporary.write_bytes(safetensors.numpy.save(dict(tensors), metadata=about))
        os.replace(temporary, path)
    except (safetensors.SafetensorError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise OSError(0, str(error), str(path)) from error
