"""A short summary of weights: of a folder, an export, a .safetensors or a .pth file."""

import collections
import pathlib
from collections.abc import Mapping

import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.weights.authors import read_tensor_file
from noise2map_jax.weights.config_file import read_config, read_json
from noise2map_jax.weights.diffusers import read_tensors
from noise2map_jax.weights.safetensors_file import MODEL_FILE


def summarize(path: pathlib.Path) -> str:
    """Describe weights as they are stored.

    Args:
        path: a folder of diffusers or with `model.safetensors`, an export, or a file of tensors.

    Returns:
        Lines for people.

    Raises:
        UserError: there are no weights at this path, or they are damaged.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected weights")
    if path.is_file():
        return "\n".join([str(path), *_tensor_lines(read_tensor_file(path))])
    if (path / MODEL_FILE).is_file():
        lines = [f"{path}: folder with {MODEL_FILE}"]
        lines += _tensor_lines(read_tensor_file(path / MODEL_FILE))
    else:
        config = read_config(path / "config.json")
        lines = [f"{path}: diffusers folder", *_tensor_lines(read_tensors(path))]
        lines += [f"  {field} = {value}" for field, value in vars(config).items()]
    if (path / "noise2map.json").is_file():
        run = read_json(path / "noise2map.json")
        tasks = ", ".join(map(str, run.get("tasks") or ())) or "none"
        lines.append(f"export of a run: step {run.get('step')}, full models of {tasks}")
    return "\n".join(lines)


def _tensor_lines(tensors: Mapping[str, np.ndarray]) -> list[str]:
    """Count tensors and parameters, by type and by the first part of their names."""
    types = collections.Counter(tensor.dtype.name for tensor in tensors.values())
    modules: dict[str, list[np.ndarray]] = collections.defaultdict(list)
    for name, tensor in tensors.items():
        modules[name.removeprefix("module.").split(".")[0]].append(tensor)
    kinds = ", ".join(f"{count} {kind}" for kind, count in types.most_common())
    lines = [f"{len(tensors)} tensors ({kinds}), {_count(list(tensors.values())):,} parameters"]
    lines += [f"  {name:20} {_count(group):>14,}" for name, group in modules.items()]
    return lines


def _count(tensors: list[np.ndarray]) -> int:
    return sum(tensor.size for tensor in tensors)
