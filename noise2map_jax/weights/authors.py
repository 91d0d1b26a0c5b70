"""The full model as the method's authors store it in PyTorch: one backbone, one task's projections.

unet.*                  the backbone, with the names of diffusers
input_conv              [B, 3, H, W] for segmentation, [B, 6, H, W] for change -> 3 channels
input_upscaling.1       the convolution after the first resampling (module 0 has no weights)
output_downscaling.1    the convolution after the second resampling
output_conv             3 channels -> classes
"""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import find_head, init_params
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.weights.names import Path, Shape, arrange, diffusers_name, to_torch_layout
from noise2map_jax.weights.safetensors_file import read_safetensors
from noise2map_jax.weights.torch_file import read_torch

# The authors' names -> the names here, after `<task>_`.
PROJECTIONS = {
    "input_conv": "input_conv",
    "input_upscaling.1": "input_upscaling",
    "output_downscaling.1": "output_downscaling",
    "output_conv": "output_conv",
}
RESAMPLING = ("input_upscaling.1.", "output_downscaling.1.")


def load_authors(path: str | os.PathLike[str], model: Noise2Map, task: str) -> dict[str, Any]:
    """Load a full model of the authors, or a file with the names of `to_authors`.

    Args:
        path: a `.safetensors` file, or a file of `torch.save`; its names may begin with `module.`,
            as DataParallel writes them.
        model: the network to load parameters for.
        task: the task of the projections.

    Returns:
        The tree `{"unet": ..., "<task>_input_conv": {"kernel", "bias"}, ...}`, float32. The
        convolutions around the resampling are optional: the tree has them if the file does.

    Raises:
        UserError: the file is damaged, or tensors are missing, left over or of another shape; the
            message names every one of them.
    """
    path = pathlib.Path(path)
    tensors = read_tensor_file(path)
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    expected = _expected(model, task)
    optional = [name for name in expected if name.startswith(RESAMPLING)]
    arranged = arrange(tensors, expected, source=str(path), optional=optional)
    return traverse_util.unflatten_dict(arranged)


def to_authors(params: Mapping[str, Any], task: str) -> dict[str, np.ndarray]:
    """Name and arrange parameters as the authors store a full model.

    Args:
        params: the whole tree; the projections of other tasks are left out.
        task: the task of the projections.

    Returns:
        Arrays by name, in PyTorch's layouts.

    Raises:
        UserError: there are no projections of this task.
    """
    if f"{task}_output_conv" not in params:
        known = ", ".join(sorted(set(re.findall(r"(\w+)_output_conv", " ".join(params))))) or "none"
        raise UserError(f"the parameters have no projections of task {task!r}, only of {known}")
    return {
        name: to_torch_layout(value)
        for path, value in traverse_util.flatten_dict(params).items()
        if (name := authors_name(path, task))
    }


def authors_name(path: Path, task: str) -> str:
    """Return the authors' name of a parameter; "" if it belongs to another task."""
    module, *rest = path
    if module == "unet":
        return f"unet.{diffusers_name(tuple(rest))}"
    for theirs, ours in PROJECTIONS.items():
        if module == f"{task}_{ours}":
            return f"{theirs}.{diffusers_name(tuple(rest))}"
    return ""


def read_tensor_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the tensors of a safetensors file or, with any other suffix, a file of `torch.save`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected weights, .safetensors or .pth")
    return read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)


def _expected(model: Noise2Map, task: str) -> dict[str, tuple[Path, Shape]]:
    """Path and shape of each parameter by the authors' name."""
    resampled = model.sample_size if model.patch_size == 1 else 0
    single = model.clone(heads=(find_head(model, task),), sample_size=resampled)
    # Tiles of twice the backbone's size are resampled, so all convolutions are created.
    size = 2 * resampled or model.stride
    shapes = jax.eval_shape(lambda key: init_params(single, key, size), jax.random.key(0))
    flat = traverse_util.flatten_dict(shapes)
    return {authors_name(path, task): (path, leaf.shape) for path, leaf in flat.items()}
