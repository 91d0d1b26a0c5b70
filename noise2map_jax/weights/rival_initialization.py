"""Initial parameters of a rival: its encoder's, all but the head's, or all."""

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.method.tasks import get_task
from noise2map_jax.network.input_kernels import fit_inputs
from noise2map_jax.network.interface import Head
from noise2map_jax.network.statistics import variables
from noise2map_jax.networks.rival import Rival
from noise2map_jax.networks.rivals import RIVALS, Choice
from noise2map_jax.networks.torch_names import (
    Path,
    from_torch,
    from_torch_layout,
    to_torch_layout,
    torch_name,
)
from noise2map_jax.weights.encoder_tensors import describe, not_used, same_stages, stages_of
from noise2map_jax.weights.initial import Initial, flat, merge
from noise2map_jax.weights.rival_sources import Source, encoder_prefix, read_source

# First layers: of ResNet, MiT and ELGC-Net, ViT, the original FC networks, and VMamba.
INPUT_LAYERS = ("conv1", "patch_embed1.proj", "patch_embed.proj", "conv11", "patch_embed.0")


def initialize_rival(experiment: Experiment, params: Any) -> Initial:
    """Replace random parameters by those in `config.init_from`; see `initialization.initialize`.

    From a file of an encoder, or from a network with other layers, the encoder is read; from the
    same network all but the head (`init_parts=backbone`), or all. Statistics of batch normalisation
    come with their layers. Classifiers of encoders, and stages that the network does not use, are
    left out; anything else must fit.
    """
    config, model = experiment.config, experiment.model
    assert isinstance(model, Rival)
    choice = RIVALS[config.model.name]
    source = read_source(config, model, experiment.mesh)
    if config.init_parts == "all" and not source.whole:
        raise UserError(
            f"init_parts is 'all', but init_from gives {config.model.name} an encoder alone: "
            f"{source.name}; set init_parts=backbone"
        )
    within = () if source.whole else tuple(choice.encoder_path.split("/"))
    wanted = _wanted(params, within, choice.head if config.init_parts == "backbone" else "")
    names = {torch_name(path): path for path in wanted}
    given = _without_head(source, choice) if config.init_parts == "backbone" else source.tensors
    prefix = encoder_prefix(choice) if source.whole else ""
    left_out = _left_out(f"init_from={config.init_from}", given, wanted, prefix)
    if source.whole and choice.repeated:
        repeated = re.compile(choice.repeated)
        left_out += tuple(n for n in given if repeated.fullmatch(n) and n not in names)
    given = {name: tensor for name, tensor in given.items() if name not in left_out}
    adapted = []
    first = [*(f"{prefix}{layer}" for layer in INPUT_LAYERS), *choice.first_layers]
    for layer in first:
        name = f"{layer}.weight"
        if name in names and name in given:
            path, tensor = names[name], given[name]
            given[name] = _fitted(experiment, source, path, tensor, wanted[path].shape)
            if given[name] is not tensor:
                adapted.append(_flat_name(path, within))
    arranged = from_torch(
        given,
        traverse_util.unflatten_dict(wanted),
        source=f"init_from={config.init_from}: the tensors",
    )
    new = {
        _flat_name(path, within): leaf
        for path, leaf in traverse_util.flatten_dict(arranged).items()
    }
    return merge(
        flat(params),
        new,
        experiment.mesh,
        source=source.name,
        adapted=tuple(adapted),
        left_out=left_out,
        warnings=source.warnings,
    )


def _wanted(params: Any, within: tuple[str, ...], head: str) -> dict[Path, Any]:
    """Return the leaves of a module by their paths in it, without those of the head.

    Args:
        params: the whole tree.
        within: path of the module; () = all.
        head: what paths of the head begin with; "" = there is none to leave out.
    """
    wanted = {}
    for (collection, *path), leaf in traverse_util.flatten_dict(variables(params)).items():
        inside = tuple(path[: len(within)]) == within
        if inside and not (head and "/".join(path).startswith(head)):
            wanted[(collection, *path[len(within) :])] = leaf
    return wanted


def _without_head(source: Source, choice: Choice) -> Mapping[str, np.ndarray]:
    if not source.whole:
        return source.tensors
    head = torch_name(("params", *choice.head.split("/")))
    return {name: tensor for name, tensor in source.tensors.items() if not name.startswith(head)}


def _left_out(
    source: str, given: Mapping[str, np.ndarray], wanted: dict[Path, Any], prefix: str
) -> tuple[str, ...]:
    """Return the names of tensors that the encoder does not use.

    Raises:
        UserError: the file's encoder has other stages.
    """
    here = stages_of(_within(prefix, {torch_name(path): leaf for path, leaf in wanted.items()}))
    there = stages_of(_within(prefix, given))
    if here and not same_stages(there, here):
        raise UserError(
            f"{source} has another encoder, {describe(there)}; here it is {describe(here)}: choose "
            "another file, or set model.encoder"
        )
    known = {torch_name(path) for path in wanted}
    extra = [name.removeprefix(prefix) for name in given if name.startswith(prefix)]
    unknown = [name for name in extra if prefix + name not in known]
    return tuple(prefix + name for name in not_used(unknown, here))


def _within(prefix: str, tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {
        name.removeprefix(prefix): tuple(tensor.shape)
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _fitted(
    experiment: Experiment, source: Source, path: Path, tensor: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Fit a first kernel to the channels here, if asked for; the same tensor if it fits already."""
    kernel, config = from_torch_layout(path, tensor), experiment.config
    there, here = kernel.shape[-2], shape[-2]
    if kernel.ndim != len(shape) or there == here:
        return tensor
    if not config.init_input:
        raise UserError(
            f"init_from={config.init_from}: {torch_name(path)} has {there} input channels, here "
            f"there are {here}; init_input=inflate or average fits it to them"
        )
    (head,) = experiment.model.heads
    # Where both see a pair as one image, each date keeps its own part of the kernel.
    dates = {_num_dates(source.head, there), _num_dates(head, here)}
    num_dates = dates.pop() if len(dates) == 1 else 1
    fitted = fit_inputs(jnp.asarray(kernel), here, config.init_input, num_dates=num_dates)
    return to_torch_layout(path, fitted)


def _num_dates(head: Head | None, num_channels: int) -> int:
    """Return the number of images that a first layer sees as one."""
    if head is None or head.num_inputs != num_channels:
        return 1
    return len(get_task(head.task).image_keys)


def _flat_name(path: Path, within: tuple[str, ...]) -> str:
    """Return a leaf's name in the whole tree of parameters."""
    collection, *rest = path
    return "/".join((*(() if collection == "params" else (collection,)), *within, *rest))
