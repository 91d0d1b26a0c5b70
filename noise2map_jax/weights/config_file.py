"""Reading and writing the `config.json` of a diffusers folder, which describes a U-Net."""

import dataclasses
import json
import os
import pathlib
import types
import typing
from typing import Any

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.network.unet_config import UNetConfig

# Fields of a UNet2DModel config that are fixed here, and the values accepted; the first is written.
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
# Fields without effect on the networks supported here: the version that wrote the file, the source
# that it was loaded from, the length of a learned time embedding.
IGNORED_FIELDS = ("_diffusers_version", "_name_or_path", "num_train_timesteps")
# Files are written in the form of this version of diffusers; reading accepts any version.
DIFFUSERS_VERSION = "0.42.1"


def read_config(path: pathlib.Path) -> UNetConfig:
    """Read the config.json of a `UNet2DModel`; missing fields get the defaults of diffusers.

    Args:
        path: the file.

    Returns:
        The config of the same network.

    Raises:
        UserError: there is no such file, it is not JSON, or a field has an unsupported name, value
            or type.
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
            raise UserError(f"{path}: {name}={value!r} is not a field of a supported UNet2DModel")
    try:
        return UNetConfig(**fields)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def config_text(config: UNetConfig) -> str:
    """Return the config.json of a `UNet2DModel`: all fields in the order and form of diffusers.

    Args:
        config: the network's config.

    Returns:
        The file's text.
    """
    content: dict[str, Any] = {name: values[0] for name, values in FIXED_FIELDS.items()}
    content |= {"_diffusers_version": DIFFUSERS_VERSION, "num_train_timesteps": None}
    for name, value in dataclasses.asdict(config).items():
        # diffusers writes freq_shift as a whole number.
        whole = isinstance(value, float) and value.is_integer()
        content[name] = int(value) if whole else value
    return strict_json.dumps(content, indent=2, sort_keys=True) + "\n"


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Read a JSON object, or raise a `UserError` that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; expected a folder saved by diffusers") from error
    except ValueError as error:  # JSON or UTF-8 is wrong
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a text file completely or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has an annotated type."""
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return isinstance(value, list) and all(_fits(v, item) for v in value)
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
