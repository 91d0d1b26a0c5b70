"""Weights between a diffusers folder (config.json and safetensors) and the U-Net here.

Names map mechanically, `down_blocks_0/resnets_1/conv1/kernel` <->
`down_blocks.0.resnets.1.conv1.weight`, and layouts by rank: convolutions HWIO <-> OIHW, matrices
transposed. No torch is needed.
"""

import json
import os
import pathlib
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.unet import UNet, UNetConfig

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
INDEX_FILE = WEIGHTS_FILE + ".index.json"

# Fields of a UNet2DModel config that `UNetConfig` has no choice for, and the values it stands for.
FIXED_FIELDS: dict[str, tuple[Any, ...]] = {
    "_class_name": ("UNet2DModel",),
    "act_fn": ("silu", "swish"),
    "class_embed_type": (None,),
    "downsample_type": ("conv",),
    "dropout": (0.0,),
    "mid_block_type": ("UNetMidBlock2D",),
    "num_class_embeds": (None,),
    "upsample_type": ("conv",),
}
# Without effect on the networks supported here: the version that wrote it, where it was loaded
# from, the length of a learned time embedding.
IGNORED_FIELDS = ("_diffusers_version", "_name_or_path", "num_train_timesteps")

# Sub-modules that diffusers keeps in lists: only their numbers are set off by a dot.
LISTS = "down_blocks|up_blocks|resnets|attentions|downsamplers|upsamplers|to_out"
# Names of the attention layers before diffusers 0.12; the published DDPM weights still bear them.
LEGACY_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

# Order of axes by rank: convolutions HWIO <-> OIHW, matrices IO <-> OI, vectors.
TO_DIFFUSERS = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
FROM_DIFFUSERS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


def load_diffusers(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> tuple[UNet, dict[str, Any]]:
    """Load a U-Net that diffusers saved.

    Args:
        folder: holds `config.json` and `diffusion_pytorch_model.safetensors`, whole or in shards
            with `diffusion_pytorch_model.safetensors.index.json`.
        dtype: compute type of the network; the parameters are float32 whatever was stored.

    Returns:
        `(unet, params)`, params a tree of float32 NumPy arrays:
        `unet.apply({"params": params}, images, timesteps)`.

    Raises:
        UserError: a file is missing or broken, the config asks for something unsupported, or
            tensors are missing, left over or of another shape; every one of them is named.
    """
    path = pathlib.Path(folder)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected a diffusers folder with config.json")
    unet = UNet(read_config(path / "config.json"), dtype=dtype)
    return unet, from_diffusers(read_tensors(path), unet, source=str(path))


def read_config(path: pathlib.Path) -> UNetConfig:
    """Read the config.json of a `UNet2DModel`; fields that it lacks have diffusers' defaults.

    Args:
        path: the file.

    Returns:
        The same network's config.

    Raises:
        UserError: no such file, no JSON, or a field of an unsupported name, value or type.
    """
    content = read_json(path)
    hints = typing.get_type_hints(UNetConfig)
    fields: dict[str, Any] = {}
    for name, value in content.items():
        if name in hints:
            if not _fits(value, hints[name]):
                kind = str(hints[name]) if typing.get_args(hints[name]) else hints[name].__name__
                raise UserError(f"{path}: {name}={value!r}: expected {kind}")
            fields[name] = tuple(value) if isinstance(value, list) else value
        elif name in FIXED_FIELDS:
            if value not in FIXED_FIELDS[name]:
                known = " or ".join(map(repr, FIXED_FIELDS[name]))
                raise UserError(f"{path}: {name}={value!r} is not supported, only {known}")
        elif name not in IGNORED_FIELDS:
            raise UserError(f"{path}: {name}={value!r} is no field of a supported UNet2DModel")
    try:
        return UNetConfig(**fields)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Read all tensors of a diffusers folder, as stored.

    Args:
        folder: holds one safetensors file, or shards and their index.

    Returns:
        Arrays by their name in diffusers.

    Raises:
        UserError: a file is missing, truncated or no safetensors, or a tensor is stored twice.
    """
    if (folder / WEIGHTS_FILE).is_file():
        files = [WEIGHTS_FILE]
    elif (folder / INDEX_FILE).is_file():
        weight_map = read_json(folder / INDEX_FILE).get("weight_map")
        if not isinstance(weight_map, dict) or not all(map(_is_file_name, weight_map.values())):
            raise UserError(f"{folder / INDEX_FILE}: expected 'weight_map', tensor -> file name")
        files = sorted(set(weight_map.values()))
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
        try:
            shard = safetensors.numpy.load_file(path)
        except (safetensors.SafetensorError, OSError, KeyError) as error:
            raise UserError(
                f"{path}: not a whole safetensors file ({error}); copy it again"
            ) from error
        for name, tensor in shard.items():
            if name in tensors:
                raise UserError(f"{path}: tensor {name} is stored twice")
            tensors[name] = tensor
    return tensors


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Read a JSON object, or raise a `UserError` that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; expected a folder saved by diffusers") from error
    except ValueError as error:  # of the decoder or of the encoding
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def from_diffusers(
    tensors: Mapping[str, np.ndarray], unet: UNet, *, source: str = "weights"
) -> dict[str, Any]:
    """Arrange tensors of diffusers as the parameters of a U-Net.

    Args:
        tensors: arrays by their name in diffusers, legacy attention names included.
        unet: the network whose parameters they are to be.
        source: what the error messages call the tensors' origin.

    Returns:
        The tree of parameters, float32.

    Raises:
        UserError: tensors are missing, left over or of another shape; every one is named.
    """
    given: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        name = current_name(name)
        if name in given:
            raise UserError(f"{source}: tensor {name} is stored under its old and its new name")
        given[name] = tensor

    side = 2 ** (len(unet.config.block_out_channels) - 1)
    image = jax.ShapeDtypeStruct((1, side, side, unet.config.in_channels), jnp.float32)
    time = jax.ShapeDtypeStruct((1,), jnp.float32)
    expected = jax.eval_shape(unet.init, jax.random.key(0), image, time)["params"]

    flat: dict[tuple[str, ...], np.ndarray] = {}
    missing, misshaped = [], []
    for path, parameter in traverse_util.flatten_dict(expected).items():
        name = diffusers_name(path)
        if name not in given:
            missing.append(name)
            continue
        tensor = given.pop(name)
        stored = tuple(parameter.shape[axis] for axis in TO_DIFFUSERS[parameter.ndim])
        if tensor.shape != stored:
            misshaped.append(f"{name} {list(tensor.shape)} instead of {list(stored)}")
            continue
        tensor = tensor.astype(np.float32).transpose(FROM_DIFFUSERS[tensor.ndim])
        flat[path] = np.ascontiguousarray(tensor)
    faults = (("missing", missing), ("left over", sorted(given)), ("of another shape", misshaped))
    if any(names for _, names in faults):
        listed = "; ".join(f"{len(n)} {what}: {', '.join(n)}" for what, n in faults if n)
        raise UserError(f"{source}: tensors do not fit the config: {listed}")
    return traverse_util.unflatten_dict(flat)


def to_diffusers(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrange the parameters of a U-Net as diffusers stores them.

    Args:
        params: the tree of parameters.

    Returns:
        Arrays by their name in diffusers, in its layouts.
    """
    tensors = {}
    for path, parameter in traverse_util.flatten_dict(params).items():
        tensor = np.transpose(parameter, TO_DIFFUSERS[np.ndim(parameter)])
        tensors[diffusers_name(path)] = np.ascontiguousarray(tensor)
    return tensors


def diffusers_name(path: tuple[str, ...]) -> str:
    """Name a parameter as diffusers does, from its path in the tree."""
    modules = [re.sub(rf"^({LISTS})_(\d+)$", r"\1.\2", module) for module in path[:-1]]
    leaf = {"kernel": "weight", "scale": "weight"}.get(path[-1], path[-1])
    return ".".join([*modules, leaf])


def current_name(name: str) -> str:
    """Give a tensor of an attention layer the name that diffusers gives it today."""
    return re.sub(
        r"(attentions\.\d+)\.(query|key|value|proj_attn)\.",
        lambda match: f"{match[1]}.{LEGACY_NAMES[match[2]]}.",
        name,
    )


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and pathlib.PurePath(value).name == value


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a JSON value is of an annotated type."""
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return isinstance(value, list) and all(_fits(v, item) for v in value)
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
