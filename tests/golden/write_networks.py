"""Writes the golden networks with torch and diffusers: `python tests/golden/write_networks.py`.

pip install torch==2.13.0 diffusers==0.42.1 (extra `parity`). Both families of weights that
Noise2Map comes in, as thin as every kind of block allows.
"""

import pathlib

import numpy as np
import torch
from diffusers import UNet2DModel

FAMILIES = {
    # The layout of google/ddpm-church-256, and so of the published Noise2Map backbones.
    "church_thin": {
        "sample_size": 64,
        "block_out_channels": (4, 4, 8, 8, 12, 12),
        "layers_per_block": 1,
        "down_block_types": (*("DownBlock2D",) * 4, "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *("UpBlock2D",) * 4),
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "attention_head_dim": None,
        "norm_num_groups": 4,
        "norm_eps": 1e-6,
    },
    # The defaults of diffusers' UNet2DModel, which the authors' code builds for random weights.
    "default_thin": {
        "sample_size": 32,
        "block_out_channels": (4, 8, 8, 12),
        "layers_per_block": 2,
        "down_block_types": ("DownBlock2D", *("AttnDownBlock2D",) * 3),
        "up_block_types": (*("AttnUpBlock2D",) * 3, "UpBlock2D"),
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "norm_eps": 1e-5,
    },
}
NUM_IMAGES = 2


def write(name: str, folder: pathlib.Path) -> None:
    """Write weights, an output and gradients of mean(y ** 2)."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = UNet2DModel(in_channels=3, out_channels=3, act_fn="silu", **FAMILIES[name]).eval()
    with torch.no_grad():  # away from initial values, so that no term is hidden by a zero
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    network.save_pretrained(folder)
    size = FAMILIES[name]["sample_size"]
    x = torch.randn((NUM_IMAGES, 3, size, size), generator=generator).requires_grad_(True)
    timesteps = torch.tensor([0, 499, 999])[-NUM_IMAGES:]
    y = network(x, timesteps).sample
    y.square().mean().backward()
    np.savez(folder / "forward.npz", x=x.detach(), timesteps=timesteps, y=y.detach())
    np.savez(
        folder / "gradient.npz",
        dx=x.grad,
        dconv_in=network.conv_in.weight.grad,
        dtime=network.time_embedding.linear_1.weight.grad,
    )


if __name__ == "__main__":
    for family in FAMILIES:
        write(family, pathlib.Path(__file__).parent / family)
