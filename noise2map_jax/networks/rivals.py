"""The rivals by name, and how they are built from the fields of a config."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import Head
from noise2map_jax.networks.resnet import RESNETS
from noise2map_jax.networks.rival import Rival
from noise2map_jax.networks.unet import UNet

SEGMENTATION, CHANGE = ("ss", "denoise"), ("cd",)
SCALINGS = ("plain", "imagenet")
ENCODERS: dict[str, nn.Module] = {**RESNETS}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A network to choose.

    Attributes:
        network: its class.
        tasks: the tasks that it has heads for.
        encoder: the usual encoder, a key of `ENCODERS`; "" = it has none to choose.
    """

    network: type[nn.Module]
    tasks: tuple[str, ...]
    encoder: str = ""


RIVALS: dict[str, Choice] = {
    "unet": Choice(UNet, SEGMENTATION, "resnet34"),
}
# Fields that a config sets elsewhere.
_OWN_FIELDS = {"num_classes", "encoder", "dtype", "param_dtype", "parent", "name"}


def create_rival(
    name: str,
    head: Head,
    *,
    encoder: str,
    options: Mapping[str, Any],
    scaling: str,
    dtype: Any,
    matmul_precision: str,
) -> Rival:
    """Build a rival.

    Args:
        name: a key of `RIVALS`.
        head: task, inputs and outputs.
        encoder: a key of `ENCODERS`; "" = the usual one of the network.
        options: attributes of the network that differ from the published ones; those of its encoder
            are a dictionary under `encoder`.
        scaling: one of `SCALINGS`.
        dtype: compute type.
        matmul_precision: see `Rival`.

    Raises:
        UserError: the network is not for this task, or an encoder, option or scaling does not
            exist or does not fit.
    """
    choice = RIVALS[name]
    if head.task not in choice.tasks:
        fitting = ", ".join(other for other, c in RIVALS.items() if head.task in c.tasks)
        raise UserError(
            f"model.name {name!r} is for task {' and '.join(choice.tasks)}, not {head.task!r}; for"
            f" that there are noise2map, {fitting}"
        )
    if scaling not in SCALINGS:
        raise UserError(f"unknown model.scaling {scaling!r}; expected one of {', '.join(SCALINGS)}")
    if scaling == "imagenet" and head.num_inputs not in (3, 6):
        raise UserError(
            f"model.scaling is 'imagenet', which is of three bands a date, but the input has"
            f" {head.num_inputs} channels; use plain"
        )
    own = {key: value for key, value in options.items() if key != "encoder"}
    fields: dict[str, Any] = {"num_classes": head.num_outputs, "dtype": dtype}
    if choice.encoder:
        fields["encoder"] = _encoder(name, choice, encoder, options.get("encoder", {}))
    elif encoder or "encoder" in options:
        raise UserError(f"model.name {name!r} has an encoder of its own; leave model.encoder empty")
    _check_options(choice.network, own, name)
    return Rival(
        choice.network(**own, **fields),
        (head,),
        imagenet=scaling == "imagenet",
        dtype=dtype,
        matmul_precision=matmul_precision,
    )


def _encoder(name: str, choice: Choice, encoder: str, options: Any) -> nn.Module:
    usual = ENCODERS[choice.encoder]
    fitting = [key for key, module in ENCODERS.items() if type(module) is type(usual)]
    if (encoder or choice.encoder) not in fitting:
        raise UserError(f"model.encoder is {encoder!r}; {name} has one of {', '.join(fitting)}")
    found = ENCODERS[encoder or choice.encoder]
    _check_options(type(found), options, "encoder")
    return found.clone(**options)


def _check_options(network: type[nn.Module], options: Any, name: str) -> None:
    known = [f.name for f in dataclasses.fields(network) if f.name not in _OWN_FIELDS]
    if not isinstance(options, Mapping) or (unknown := set(options) - set(known)):
        wrong = options if not isinstance(options, Mapping) else ", ".join(sorted(unknown))
        raise UserError(f"model.options: {name} has no {wrong!r}; it has {', '.join(known)}")
