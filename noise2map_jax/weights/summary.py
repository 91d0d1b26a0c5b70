"""A short summary of weights: of a folder, an export, a .safetensors or a .pth file."""

import collections
import os
from collections.abc import Mapping

import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.weights.authors import read_tensor_file
from noise2map_jax.weights.config_file import read_config, read_json
from noise2map_jax.weights.diffusers import read_tensors
from noise2map_jax.weights.place import find
from noise2map_jax.weights.safetensors_file import MODEL_FILE
from noise2map_jax.weights.single_file import is_single_file, read_origin

# Ends of the names of what PyTorch's batch normalisation keeps beside its parameters.
STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


def summarize(name: str | os.PathLike[str]) -> str:
    """Describe weights as they are stored.

    Args:
        name: a folder of diffusers or with `model.safetensors`, an export, or a file of tensors:
            what `init_from` takes, but a run.

    Returns:
        Lines for people.

    Raises:
        UserError: there are no weights at this path, or they are damaged.
    """
    path = find(os.fspath(name))
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected weights")
    if path.is_file():
        lines = [str(path), *_tensor_lines(read_tensor_file(path))]
        if is_single_file(path):
            origin = read_origin(path)
            data = origin.config.data.dataset
            lines.append(f"full model of a run: step {origin.step}, {origin.task} on {data}")
        return "\n".join(lines)
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
    statistics = []
    for name, tensor in tensors.items():
        if name.endswith(STATISTICS):
            statistics.append(tensor)
        else:
            modules[name.removeprefix("module.").split(".")[0]].append(tensor)
    kinds = ", ".join(f"{count} {kind}" for kind, count in types.most_common())
    num_parameters = sum(map(_count, modules.values()))
    lines = [f"{len(tensors)} tensors ({kinds}), {num_parameters:,} parameters"]
    if statistics:
        lines[0] += f", {_count(statistics):,} statistics of batch normalisation"
    lines += [f"  {name:20} {_count(group):>14,}" for name, group in modules.items()]
    return lines


def _count(tensors: list[np.ndarray]) -> int:
    return sum(tensor.size for tensor in tensors)
