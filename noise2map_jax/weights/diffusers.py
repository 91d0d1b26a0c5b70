"""Loading and saving a U-Net as a diffusers folder (config.json and safetensors), without torch."""

import functools
import os
import pathlib
import re
import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.network.unet import UNet, UNetConfig
from noise2map_jax.weights.config_file import config_text, read_config, read_json, write_text
from noise2map_jax.weights.names import (
    Path,
    Shape,
    arrange,
    check_fit,
    diffusers_name,
    to_torch_layout,
)
from noise2map_jax.weights.safetensors_file import read_safetensors, write_safetensors
from noise2map_jax.weights.torch_file import read_torch

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
INDEX_FILE = WEIGHTS_FILE + ".index.json"
TORCH_FILE = "diffusion_pytorch_model.bin"
SHARD_FILE = re.compile(r"diffusion_pytorch_model-\d{5}-of-\d{5}\.safetensors")


def load_diffusers(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[UNet, dict[str, Any]]:
    """Load a U-Net that diffusers saved.

    Args:
        folder: a folder with `config.json` and `diffusion_pytorch_model.safetensors`, in one file
            or in shards with `diffusion_pytorch_model.safetensors.index.json`.
        dtype: compute type of the network; the parameters become float32 from any stored type.

    Returns:
        `(unet, params)`, params a tree of float32 NumPy arrays:
        `unet.apply({"params": params}, images, timesteps)`.

    Raises:
        UserError: a file is missing or damaged, the config asks for something unsupported, or
            tensors are missing, left over or of another shape; the message names all of them.
    """
    path = pathlib.Path(folder)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected a diffusers folder with config.json")
    unet = UNet(read_config(path / "config.json"), dtype=dtype)
    return unet, from_diffusers(read_tensors(path), unet, source=str(path))


def check_shard_size(max_shard_size: int | None) -> None:
    """Raise if a limit is too small for any file."""
    if max_shard_size is not None and max_shard_size < 1:
        raise UserError(f"max_shard_size is {max_shard_size}; expected 1 byte or more")


def save_diffusers(
    folder: str | os.PathLike[str],
    config: UNetConfig,
    params: Mapping[str, Any],
    *,
    max_shard_size: int | None = None,
) -> None:
    """Save a U-Net so that diffusers' `UNet2DModel.from_pretrained(folder)` loads it.

    An existing folder is overwritten. `config.json` is removed first and written last, so an
    incomplete folder never has one.

    Args:
        folder: the folder for `config.json` and `diffusion_pytorch_model.safetensors`.
        config: the network's config.
        params: the network's tree of parameters.
        max_shard_size: bytes above which the weights are split into several files and an index; a
            larger tensor gets a file of its own. None = one file.

    Raises:
        UserError: the parameters do not fit the config; the message names all that do not.
    """
    path = pathlib.Path(folder)
    check_shard_size(max_shard_size)
    tensors = to_diffusers(params)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    check_fit(shapes, _expected(config), source="the parameters to save")
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").unlink(missing_ok=True)
    shards = _split(tensors, max_shard_size)
    if len(shards) == 1:
        files = [WEIGHTS_FILE]
    else:
        stem, suffix = WEIGHTS_FILE.split(".")
        files = [f"{stem}-{i:05}-of-{len(shards):05}.{suffix}" for i in range(1, len(shards) + 1)]
    for file, names in zip(files, shards, strict=True):
        write_safetensors(path / file, {name: tensors[name] for name in names})
    # Remove files of an earlier save, which a reader could prefer.
    for found in path.iterdir():
        ours = found.name in (WEIGHTS_FILE, INDEX_FILE) or SHARD_FILE.fullmatch(found.name)
        if ours and found.name not in files:
            found.unlink()
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
            "weight_map": {
                name: file for file, names in zip(files, shards, strict=True) for name in names
            },
        }
        write_text(path / INDEX_FILE, strict_json.dumps(index, indent=2, sort_keys=True) + "\n")
    write_text(path / "config.json", config_text(config))


def read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Read all tensors of a diffusers folder, as stored.

    Args:
        folder: a folder with one safetensors file, with shards and their index, or with one file
            of `torch.save`, as older versions of diffusers wrote.

    Returns:
        Arrays by their name in diffusers.

    Raises:
        UserError: a file is missing, truncated or of another format, or a tensor is stored twice.
    """
    if (folder / WEIGHTS_FILE).is_file():
        files = [WEIGHTS_FILE]
    elif (folder / INDEX_FILE).is_file():
        weight_map = read_json(folder / INDEX_FILE).get("weight_map")
        if not isinstance(weight_map, dict) or not all(map(_is_file_name, weight_map.values())):
            raise UserError(f"{folder / INDEX_FILE}: expected 'weight_map', tensor -> file name")
        files = sorted(set(weight_map.values()))
    elif (folder / TORCH_FILE).is_file():
        return read_torch(folder / TORCH_FILE)
    else:
        found = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".safetensors"))
        raise UserError(
            f"{folder}: neither {WEIGHTS_FILE} nor {INDEX_FILE}"
            + (f", only {', '.join(found)}" if found else "")
            + "; save the weights as safetensors under that name"
        )
    tensors: dict[str, np.ndarray] = {}
    for file in files:
        path = folder / file
        if not path.is_file():
            raise UserError(f"{path}: no such file, but {INDEX_FILE} names it")
        for name, tensor in read_safetensors(path).items():
            if name in tensors:
                raise UserError(f"{path}: tensor {name} is stored twice")
            tensors[name] = tensor
    return tensors


def from_diffusers(
    tensors: Mapping[str, np.ndarray], unet: UNet, *, source: str = "weights"
) -> dict[str, Any]:
    """Arrange tensors of diffusers as the parameters of a U-Net.

    Args:
        tensors: arrays by their name in diffusers, legacy attention names included.
        unet: the network to arrange parameters for.
        source: the origin of the tensors, for error messages.

    Returns:
        The tree of parameters, float32.

    Raises:
        UserError: tensors are missing, left over or of another shape; the message names all.
    """
    arranged = arrange(tensors, _expected(unet.config), source=source)
    return traverse_util.unflatten_dict(arranged)


def to_diffusers(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrange the parameters of a U-Net as diffusers stores them.

    Args:
        params: the tree of parameters.

    Returns:
        Arrays by their current name in diffusers, in PyTorch's layouts.
    """
    flat = traverse_util.flatten_dict(params)
    return {diffusers_name(path): to_torch_layout(value) for path, value in flat.items()}


@functools.lru_cache(maxsize=8)  # tracing a deep network takes a second
def _expected(config: UNetConfig) -> Mapping[str, tuple[Path, Shape]]:
    """Return path and shape of each parameter by its name in diffusers."""
    unet = UNet(config)
    side = 2 ** (len(config.block_out_channels) - 1)
    image = jax.ShapeDtypeStruct((1, side, side, config.in_channels), jnp.float32)
    time = jax.ShapeDtypeStruct((1,), jnp.float32)
    params = jax.eval_shape(unet.init, jax.random.key(0), image, time)["params"]
    flat = traverse_util.flatten_dict(params)
    return types.MappingProxyType(
        {diffusers_name(path): (path, leaf.shape) for path, leaf in flat.items()}
    )


def _split(tensors: Mapping[str, np.ndarray], max_size: int | None) -> list[list[str]]:
    """Assign names to files in order, as diffusers does."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in tensors.items():
        if max_size is not None and shards[-1] and size + tensor.nbytes > max_size:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    return shards


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and pathlib.PurePath(value).name == value
