"""The network that a config names."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import with_tuples
from noise2map_jax.experiment.schedule_config import create_schedule
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.method.tasks import get_task
from noise2map_jax.network.interface import Head, Network
from noise2map_jax.network.matmul_precision import check_precision
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.network.unet_config import UNetConfig, block_types
from noise2map_jax.networks.rivals import RIVALS, create_rival

RIVALS_WITHOUT_BACKBONE = [
    name for name, c in RIVALS.items() if not (c.encoder_path or c.over_denoiser)
]
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
NOISE2MAP = "noise2map"
# Fields that one kind of network alone has, with the values that ask for nothing.
_OF_RIVALS = {"encoder": "", "options": "", "scaling": "plain", "noised_input": False}


def is_rival(config: ConfigDict) -> bool:
    """Whether a config names another network than Noise2Map."""
    return config.model.name != NOISE2MAP


def sees_noise(config: ConfigDict) -> bool:
    """Whether the noise that a config of one task describes reaches the network."""
    noised = not is_rival(config) or config.model.noised_input
    return noised or not get_task(config.task).has_classes


def sample_size(config: ConfigDict) -> int:
    """Side in pixels that tiles are resampled to; 0: they are not, as by every rival."""
    return 0 if is_rival(config) else config.model.sample_size


def create_model(config: ConfigDict) -> Network:
    """Build the network that a config describes, with a head for each of its tasks.

    Raises:
        UserError: the network or one of its options does not exist, or it has another task.
    """
    if config.model.dtype not in DTYPES:
        raise UserError(
            f"unknown model.dtype {config.model.dtype!r}; expected one of {', '.join(DTYPES)}"
        )
    if config.model.name not in (NOISE2MAP, *RIVALS):
        raise UserError(
            f"unknown model.name {config.model.name!r}; expected one of"
            f" {', '.join((NOISE2MAP, *RIVALS))}"
        )
    _check_without_effect(config)
    return _rival(config) if is_rival(config) else _noise2map(config)


def _check_without_effect(config: ConfigDict) -> None:
    """Raise if a field is set that the network does not have, or must not have."""
    name, factor = config.model.name, config.train.backbone_learning_rate_factor
    if is_rival(config):
        if config.model.patch_size != 1:
            raise UserError(
                f"model.patch_size is {config.model.patch_size}, which {name} does not have; leave"
                " it out"
            )
        if config.train.remat != "none":
            raise UserError(
                f"train.remat is {config.train.remat!r}, but model.name {name!r} computes nothing"
                " again; set train.remat=none"
            )
        if factor != 1 and name in RIVALS_WITHOUT_BACKBONE:
            raise UserError(
                f"train.backbone_learning_rate_factor is {factor:g}, but no part of model.name"
                f" {name!r} is a backbone; set it to 1.0"
            )
        decay = config.train.weight_decay if config.train.optimizer == "adamw" else 0
        if RIVALS[name].over_denoiser and decay and factor:
            raise UserError(
                f"train.weight_decay is {decay:g}, which would shrink the frozen denoiser of"
                f" {name}, too; set train.backbone_learning_rate_factor=0.0"
            )
        return
    if config.train.frozen_statistics:
        raise UserError(
            f"train.frozen_statistics is True, but {NOISE2MAP} has no batch normalisation; leave it"
            " out"
        )
    for field, value in _OF_RIVALS.items():
        if config.model[field] != value:
            raise UserError(
                f"model.{field} is {config.model[field]!r}, which {NOISE2MAP} does not have; set"
                " model.name to a network that has it, or leave it out"
            )


def _rival(config: ConfigDict) -> Network:
    views = task_configs(config)
    if len(views) > 1:
        raise UserError(
            f"model.name is {config.model.name!r}, which has one head, but the tasks are"
            f" {', '.join(views)}; train them apart, or with model.name={NOISE2MAP}"
        )
    ((name, view),) = views.items()
    task, num_bands = get_task(name), view.data.num_bands
    head = Head(
        name,
        num_bands * len(task.image_keys),
        task.num_outputs(num_bands, len(view.data.classes)),
    )
    return create_rival(
        config.model.name,
        head,
        encoder=config.model.encoder,
        options=_options(config.model.options),
        scaling=config.model.scaling,
        dtype=DTYPES[config.model.dtype],
        matmul_precision=check_precision(config.model.matmul_precision),
        denoiser=backbone_config(config),
        alphas_cumprod=lambda: np.asarray(create_schedule(view.noise)),
    )


def _options(text: str) -> dict[str, Any]:
    """Read `model.options`; lists become tuples."""
    if not text:
        return {}
    try:
        found = json.loads(text, object_pairs_hook=_fields)
    except json.JSONDecodeError as error:
        raise UserError(f"model.options is {text!r}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise UserError(
            f"model.options is {text!r}; expected fields of the network in braces, such as"
            ' {"decoder_channels": [128, 64, 32, 16, 8]} of unet'
        )
    return with_tuples(found)


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UserError(f"model.options has {', '.join(twice)} twice; give each field once")
    return fields


def backbone_config(config: ConfigDict) -> UNetConfig:
    """Return the shape of Noise2Map's backbone, which is also that of DDPM-CD's denoiser."""
    fields: dict[str, Any] = dict(config.model.unet)
    channels = tuple(fields.pop("block_out_channels"))
    down, up = block_types(channels, tuple(fields.pop("attention_levels")))
    head_dim = fields.pop("attention_head_dim")
    return UNetConfig(
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=head_dim or None,
        **fields,
    )


def _noise2map(config: ConfigDict) -> Noise2Map:
    unet, patch_size = backbone_config(config), config.model.patch_size
    if patch_size < 1:
        raise UserError(f"model.patch_size is {patch_size}; expected 1 or more pixels")
    return Noise2Map(
        unet=unet,
        heads=tuple(_head(view, unet, patch_size) for view in task_configs(config).values()),
        sample_size=config.model.sample_size,
        patch_size=patch_size,
        dtype=DTYPES[config.model.dtype],
        remat=config.train.remat,
        matmul_precision=check_precision(config.model.matmul_precision),
    )


def _head(config: ConfigDict, unet: UNetConfig, patch_size: int) -> Head:
    task, num_bands = get_task(config.task), config.data.num_bands
    num_inputs = num_bands * len(task.image_keys)
    num_outputs = task.num_outputs(num_bands, len(config.data.classes))
    # A denoiser with the channels of the image is the bare backbone, as in the published weights:
    # with projections the backbone could not be sampled or exported alone. Patches need them.
    channels = unet.in_channels, unet.out_channels
    bare = not task.has_classes and (num_inputs, num_outputs) == channels and patch_size == 1
    return Head(task.name, num_inputs, num_outputs, projected=not bare)
