"""What a rival can start from: files with PyTorch's names of tensors, finished runs and exports."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.network_choice import is_rival
from noise2map_jax.experiment.run import open_run
from noise2map_jax.network.interface import Head
from noise2map_jax.network.statistics import variables
from noise2map_jax.networks.rival import Rival
from noise2map_jax.networks.rivals import RIVALS, Choice
from noise2map_jax.networks.torch_names import to_torch
from noise2map_jax.networks.transformers_names import from_transformers
from noise2map_jax.weights.authors import read_tensor_file
from noise2map_jax.weights.config_file import read_json
from noise2map_jax.weights.encoder_tensors import CLASSIFIERS
from noise2map_jax.weights.export import RUN_FILE, load_export
from noise2map_jax.weights.place import find
from noise2map_jax.weights.safetensors_file import MODEL_FILE
from noise2map_jax.weights.single_file import is_single_file

Tensors = Mapping[str, np.ndarray]
# Fields of a network that may differ between two that share weights, beside rates of dropout.
_FREE = ("num_classes", "dtype", "param_dtype", "parent", "name")
# Fields of encoders that change what the same weights compute, and show in no shape.
_BEYOND_SHAPES = ("num_heads", "epsilon")


@dataclasses.dataclass(frozen=True)
class Source:
    """The content of `init_from`.

    Attributes:
        name: description for people.
        tensors: by their names in PyTorch; those of an encoder alone by their names within it.
        whole: whether they are of the whole network, and not of its encoder alone.
        head: task and inputs of the network; None if they are not known.
        warnings: what may be a mistake, a line each.
    """

    name: str
    tensors: Tensors
    whole: bool
    head: Head | None = None
    warnings: tuple[str, ...] = ()


def read_source(config: ConfigDict, model: Rival, mesh: Mesh) -> Source:
    """Read `config.init_from` for a rival.

    Args:
        config: the experiment's config.
        model: its network.
        mesh: the devices that hold the parameters of a run meanwhile.

    Raises:
        UserError: there is nothing to read, or it is of a network that shares nothing with `model`.
    """
    name = config.init_from
    path = find(name)
    if path.is_file() and is_single_file(path):
        raise UserError(f"init_from={name} is of noise2map; model.name is {config.model.name}")
    if path.is_file():
        return _of_file(path, config)
    if (path / RUN_FILE).is_file():
        there, network, params = load_export(path)
        return _of_network(f"the export {name}", (there, network, params), config, model)
    if (path / MODEL_FILE).is_file():
        return _of_file(path / MODEL_FILE, config)
    if not (path / "config.json").is_file():
        raise UserError(
            f"init_from={name} is no file of weights, finished run or export, nor a folder with "
            f"{MODEL_FILE}; start from random values with --config.init_from="
        )
    if "_class_name" in read_json(path / "config.json"):
        raise UserError(
            f"init_from={name} is a folder of diffusers, a backbone of noise2map; model.name is "
            f"{config.model.name}"
        )
    there, network, step, params = open_run(path, mesh)
    return _of_network(f"the run {name}, step {step}", (there, network, params), config, model)


def _of_file(path: pathlib.Path, config: ConfigDict) -> Source:
    """Read a file of a whole network, or of an encoder with or without the network's prefix."""
    tensors = read_tensor_file(path)
    if all(name.startswith("module.") for name in tensors):  # as DataParallel writes them
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if any(name.startswith(("segformer.", "decode_head.")) for name in tensors):
        tensors = from_transformers(tensors)
    warnings: tuple[str, ...] = ()
    if config.model.scaling == "plain":
        warnings = (
            "model.scaling is plain, but weights that were trained on ImageNet expect "
            "--config.model.scaling=imagenet",
        )
    prefix = encoder_prefix(RIVALS[config.model.name])
    inside = any(name.startswith(prefix) for name in tensors)
    outside = any(not name.startswith((prefix, *CLASSIFIERS)) for name in tensors)
    whole = not prefix or (inside and outside)
    if not whole:
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return Source(f"the file {path}", tensors, whole, warnings=warnings)


def encoder_prefix(choice: Choice) -> str:
    """Return what names of the encoder's tensors begin with in PyTorch; "" if there is none."""
    return f"{choice.encoder_path.replace('/', '.')}." if choice.encoder_path else ""


def _of_network(
    source: str, content: tuple[ConfigDict, Any, Any], config: ConfigDict, model: Rival
) -> Source:
    """Take a network of the same layers as it is, and of another one its encoder."""
    config_there, network, params = content
    there, here = config_there.model.name, config.model.name
    if not is_rival(config_there):
        raise UserError(f"init_from={config.init_from} is of {there}; model.name is {here}")
    tensors = to_torch(variables(jax.device_get(params)))
    warnings: tuple[str, ...] = ()
    scalings = config_there.model.scaling, config.model.scaling
    if scalings[0] != scalings[1]:
        warnings = (f"model.scaling was {scalings[0]} there and is {scalings[1]} here",)
    differing = _differences(network.network, model.network)
    if not differing:
        return Source(source, tensors, True, network.heads[0], warnings)

    choices = RIVALS[there], RIVALS[here]
    encoders = _encoder(network.network, choices[0]), _encoder(model.network, choices[1])
    if None in encoders or type(encoders[0]) is not type(encoders[1]):
        kinds = [type(e).__name__ if e else "one of its own" for e in encoders]
        raise UserError(
            f"init_from={config.init_from} is of another network: {'; '.join(differing)}; and "
            f"encoders are not of one kind: {there}'s is {kinds[0]}, {here}'s is {kinds[1]}"
        )
    fields = [f for f in _BEYOND_SHAPES if hasattr(encoders[1], f)]
    if unlike := _unlike(*encoders, fields):
        raise UserError(
            f"init_from={config.init_from} has an encoder that computes something else: "
            f"{'; '.join(unlike)}"
        )
    prefix = encoder_prefix(choices[0])
    return Source(
        f"the encoder of {source}, a network with other layers ({'; '.join(differing)})",
        {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)},
        whole=False,
        head=network.heads[0],
        warnings=warnings,
    )


def _encoder(network: Any, choice: Choice) -> Any:
    """Return the module at `encoder_path` where it is an attribute of the network, else None."""
    for part in choice.encoder_path.split("/"):
        network = getattr(network, part, None)
    return network


def _differences(there: nn.Module, here: nn.Module) -> list[str]:
    """Say in what two networks differ that share weights only if they do not."""
    if type(there) is not type(here):
        return [f"{type(there).__name__}, here {type(here).__name__}"]
    fields = [f.name for f in dataclasses.fields(here) if f.name not in _FREE]
    return _unlike(there, here, [f for f in fields if "drop" not in f])


def _unlike(there: Any, here: Any, fields: list[str]) -> list[str]:
    found: list[str] = []
    for name in fields:
        a, b = getattr(there, name), getattr(here, name)
        if isinstance(b, nn.Module):
            found += [f"{name}: {words}" for words in _differences(a, b)]
        elif a != b:
            found.append(f"{name} is {a}, here {b}")
    return found
