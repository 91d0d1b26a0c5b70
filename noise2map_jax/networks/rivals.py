"""The rivals by name, and how they are built from the fields of a config."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import Head
from noise2map_jax.network.unet_config import UNetConfig
from noise2map_jax.networks.bit import BIT
from noise2map_jax.networks.changeformer import ChangeFormer
from noise2map_jax.networks.changemamba import ChangeMamba
from noise2map_jax.networks.ddpmcd import DDPMCD
from noise2map_jax.networks.deeplabv3 import DeepLabV3
from noise2map_jax.networks.deeplabv3plus import DeepLabV3Plus
from noise2map_jax.networks.dpt import DPT
from noise2map_jax.networks.elgcnet import ELGCNet
from noise2map_jax.networks.fc_original import FCOriginal
from noise2map_jax.networks.fc_siam import FCSiam
from noise2map_jax.networks.mit import MITS, MiT
from noise2map_jax.networks.options import with_options
from noise2map_jax.networks.pspnet import PSPNet
from noise2map_jax.networks.resnet import RESNETS, ResNet
from noise2map_jax.networks.rival import Rival
from noise2map_jax.networks.rs3mamba import RS3Mamba
from noise2map_jax.networks.segformer import SegFormer
from noise2map_jax.networks.unet import UNet
from noise2map_jax.networks.unetplusplus import UNetPlusPlus
from noise2map_jax.networks.upernet import UPerNet
from noise2map_jax.networks.vit import VITS, ViTEncoder

SEGMENTATION, CHANGE = ("ss", "denoise"), ("cd",)
SCALINGS = ("plain", "imagenet")
Kinds = tuple[type[nn.Module], ...]
PYRAMIDS: Kinds = (ResNet, MiT)  # encoders with features of several sizes
ENCODERS: dict[str, nn.Module] = {
    **RESNETS,
    **MITS,
    **{name: ViTEncoder(vit) for name, vit in VITS.items()},
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A network to choose.

    Attributes:
        network: its class.
        tasks: the tasks that it has heads for.
        encoder: the usual encoder, a key of `ENCODERS`; "" = its own is the only one.
        kinds: classes of encoders that it takes.
        output_stride: stride of a ResNet's deepest feature, by dilation.
        num_layers: layers of a ResNet, or stages of a MiT, that are used.
        fields: attributes that make it this network.
        head: the last layers: what the names of their modules begin with.
        over_denoiser: whether it takes features of a denoiser, with the shape of Noise2Map's
            backbone.
        encoder_path: the encoder's path in the tree of parameters, within which tensors have the
            names of files of encoders; "" = no part of the network is an encoder by itself.
        named_as: whose names its tensors have in PyTorch.
        first_layers: names of first layers besides the encoder's, whose inputs may be fitted to
            another number of bands.
        repeated: regular expression of names in the authors' files that say nothing new: constants,
            and parts that their network has under two names; "" = there are none.
    """

    network: Any  # a class of modules
    tasks: tuple[str, ...]
    encoder: str = ""
    kinds: Kinds = PYRAMIDS
    output_stride: int = 32
    num_layers: int = 4
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    head: str = "segmentation_head"
    over_denoiser: bool = False
    encoder_path: str = "encoder"
    named_as: str = "segmentation_models.pytorch 0.6"
    first_layers: tuple[str, ...] = ()
    repeated: str = ""


def _original(fusion: str) -> Choice:
    return Choice(
        FCOriginal,
        CHANGE,
        fields={"fusion": fusion},
        head="conv11d",
        encoder_path="",
        named_as="rcdaudt/fully_convolutional_change_detection",
    )


def _siamese(fusion: str) -> Choice:
    return Choice(FCSiam, CHANGE, "resnet34", fields={"fusion": fusion}, named_as="torchgeo 0.8")


RIVALS: dict[str, Choice] = {
    "unet": Choice(UNet, SEGMENTATION, "resnet34"),
    "unetplusplus": Choice(UNetPlusPlus, SEGMENTATION, "resnet34", (ResNet,)),
    "deeplabv3": Choice(DeepLabV3, SEGMENTATION, "resnet34", (ResNet,), 8),
    "deeplabv3plus": Choice(DeepLabV3Plus, SEGMENTATION, "resnet34", (ResNet,), 16),
    "pspnet": Choice(PSPNet, SEGMENTATION, "resnet34", num_layers=2),
    "upernet": Choice(UPerNet, SEGMENTATION, "resnet34"),
    "segformer": Choice(SegFormer, SEGMENTATION, "mit_b1"),
    "dpt": Choice(
        DPT, SEGMENTATION, "vit_small_patch16_224", (ViTEncoder,), encoder_path="encoder/model"
    ),
    "rs3mamba": Choice(
        RS3Mamba,
        SEGMENTATION,
        head="decoder/segmentation_head_2",
        encoder_path="backbone",
        named_as="sstary/SSRS",
        first_layers=("stem.0",),
        repeated=r"(?:conv1|bn1|layers)\..*|.*\.relative_position_index",
    ),
    "fc_ef": Choice(UNet, CHANGE, "resnet34"),
    "fc_siam_conc": _siamese("conc"),
    "fc_siam_diff": _siamese("diff"),
    "fc_ef_original": _original("early"),
    "fc_siam_conc_original": _original("conc"),
    "fc_siam_diff_original": _original("diff"),
    "bit": Choice(
        BIT, CHANGE, head="classifier_3", encoder_path="resnet", named_as="justchenhao/BIT_CD"
    ),
    "changeformer": Choice(
        ChangeFormer,
        CHANGE,
        head="TDec_x2/change_probability",
        encoder_path="Tenc_x2",
        named_as="wgcban/ChangeFormer",
    ),
    "elgcnet": Choice(
        ELGCNet,
        CHANGE,
        head="dec/change_probability",
        encoder_path="enc",
        named_as="techmn/elgcnet",
    ),
    "changemamba": Choice(
        ChangeMamba,
        CHANGE,
        head="main_clf",
        named_as="ChenHongruixuan/MambaCD",
    ),
    "ddpmcd": Choice(
        DDPMCD,
        CHANGE,
        head="head",
        over_denoiser=True,
        encoder_path="",
        named_as="diffusers and wgcban/ddpm-cd",
    ),
}
# Fields that a config sets elsewhere.
_FROM_CONFIG = ("unet", "alphas_cumprod")


def create_rival(
    name: str,
    head: Head,
    *,
    encoder: str,
    options: Mapping[str, Any],
    scaling: str,
    dtype: Any,
    matmul_precision: str,
    denoiser: UNetConfig,
    alphas_cumprod: Callable[[], np.ndarray],
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
        denoiser: shape of the denoiser that a network may be over.
        alphas_cumprod: returns [T], those of the noise schedule that the denoiser has learned.

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
    bands = head.num_inputs // (2 if head.task in CHANGE else 1)
    if scaling == "imagenet" and bands != 3:
        raise UserError(
            f"model.scaling is 'imagenet', which is of three bands, but an image has {bands}; use"
            " plain"
        )
    fixed: dict[str, Any] = {"num_classes": head.num_outputs, "dtype": dtype, **choice.fields}
    if encoder and not choice.encoder:
        raise UserError(f"model.name {name!r} has an encoder of its own; leave model.encoder empty")
    if choice.encoder:
        fixed["encoder"] = _encoder(name, choice, encoder)
    elif choice.over_denoiser:
        sides = denoiser.in_channels, denoiser.out_channels
        if sides != (bands, bands):
            raise UserError(
                f"model.name {name!r} shows each date to a denoiser, which has {sides[0]} inputs "
                f"and {sides[1]} outputs for {bands} bands; set model.unet.in_channels and"
                f" out_channels to {bands}"
            )
        steps = options.get("timesteps", choice.network.timesteps)
        fixed |= {"unet": denoiser, "alphas_cumprod": _at(steps, alphas_cumprod())}
    return Rival(
        with_options(
            choice.network(**fixed), options, name, without=(*choice.fields, *_FROM_CONFIG)
        ),
        (head,),
        imagenet=scaling == "imagenet",
        dtype=dtype,
        matmul_precision=matmul_precision,
    )


def _at(steps: Any, alphas_cumprod: np.ndarray) -> tuple[float, ...]:
    """Return alphas_cumprod at some timesteps."""
    number = len(alphas_cumprod)
    known = isinstance(steps, tuple) and all(type(t) is int and 0 <= t < number for t in steps)
    if not known or not steps:
        raise UserError(f"model.options: timesteps is {steps}; expected some of 0 to {number - 1}")
    return tuple(float(alphas_cumprod[t]) for t in steps)


def _encoder(name: str, choice: Choice, encoder: str) -> nn.Module:
    fitting = [key for key, e in ENCODERS.items() if isinstance(e, choice.kinds)]
    if (encoder or choice.encoder) not in fitting:
        raise UserError(f"model.encoder is {encoder!r}; {name} has one of {', '.join(fitting)}")
    found: Any = ENCODERS[encoder or choice.encoder]
    if isinstance(found, ResNet):
        found = found.dilated(choice.output_stride)
    return found.cut(choice.num_layers + 1) if isinstance(found, PYRAMIDS) else found
