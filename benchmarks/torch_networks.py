"""The networks of the benchmark `network` in PyTorch, of the packages that have them."""

from collections.abc import Callable
from typing import Any

import torch

# Two operators that torchvision expects: those of its wheel need the CUDA torch. They live as long
# as this object, and have to be there before diffusers looks for torchvision.
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
if not hasattr(torch.ops.torchvision, "nms"):
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from diffusers import UNet2DModel  # noqa: E402

from benchmarks.cases import BACKBONES, Case  # noqa: E402
from noise2map_jax.experiment.network_choice import backbone_config  # noqa: E402

SEGMENTATION = {  # classes of segmentation-models-pytorch 0.6, and their arguments
    "unet": ("Unet", {"encoder_name": "resnet34"}),
    "unetplusplus": ("UnetPlusPlus", {"encoder_name": "resnet34"}),
    "deeplabv3": ("DeepLabV3", {"encoder_name": "resnet34"}),
    "deeplabv3plus": ("DeepLabV3Plus", {"encoder_name": "resnet34"}),
    "pspnet": ("PSPNet", {"encoder_name": "resnet34"}),
    "upernet": ("UPerNet", {"encoder_name": "resnet34"}),
    "segformer": ("Segformer", {"encoder_name": "mit_b1"}),
    "dpt": ("DPT", {"encoder_name": "tu-vit_small_patch16_224", "dynamic_img_size": True}),
    "fc_ef": ("Unet", {"encoder_name": "resnet34", "in_channels": 6}),
}
NETWORKS = (*BACKBONES, *SEGMENTATION)


def create(case: Case) -> torch.nn.Module:
    """Build a network that maps [B, C, H, W] images to [B, 2, H, W] logits.

    Raises:
        ImportError: the package that has it is missing.
    """
    return _noise2map(case) if case.network in BACKBONES else _segmentation(case.network)


class _Noise2Map(torch.nn.Module):
    """The backbone of diffusers between two convolutions."""

    def __init__(self, backbone: UNet2DModel):
        super().__init__()
        self.before = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.backbone = backbone
        self.after = torch.nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        timesteps = torch.full((len(x),), 999, device=x.device)
        return self.after(self.backbone(self.before(x), timesteps).sample)


def _noise2map(case: Case) -> torch.nn.Module:
    config = backbone_config(case.config())
    return _Noise2Map(
        UNet2DModel(
            sample_size=case.tile_size,
            in_channels=3,
            out_channels=3,
            block_out_channels=config.block_out_channels,
            down_block_types=config.down_block_types,
            up_block_types=config.up_block_types,
            layers_per_block=config.layers_per_block,
            attention_head_dim=None,
            add_attention=config.add_attention,
            norm_num_groups=config.norm_num_groups,
            norm_eps=config.norm_eps,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
        )
    )


def _segmentation(name: str) -> torch.nn.Module:
    import segmentation_models_pytorch as smp

    kind, fields = SEGMENTATION[name]
    create_network: Callable[..., Any] = getattr(smp, kind)
    return create_network(encoder_weights=None, classes=2, **fields)
