"""PyTorch's side of the benchmark `network`: diffusers' U-Net, the same losses and optimiser."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DModel

from benchmarks import machine
from benchmarks.backbones import Case, backbone_config


def measure(case: Case, kind: str, mode: str) -> dict[str, Any]:
    """Time the forward pass or the training step in one of PyTorch's modes.

    Args:
        case: what to measure; bfloat16 is done by autocast.
        kind: `forward` or `train`.
        mode: one of `network.TORCH_MODES`.

    Returns:
        Seconds a call, or `error` if the batch does not fit into memory or no compiler is found.
    """
    try:
        return {"seconds": machine.time_calls(_call(case, kind, mode), case.repeats)}
    except RuntimeError as error:  # includes out of memory and errors of torch.compile
        return {"error": str(error).splitlines()[0][:200]}
    finally:
        torch.compiler.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _call(case: Case, kind: str, mode: str) -> Callable[[], None]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config, size = backbone_config(case.backbone), case.tile_size
    backbone = UNet2DModel(
        sample_size=size,
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
    before = torch.nn.Conv2d(3, 3, 3, padding=1)
    after = torch.nn.Conv2d(3, 2, 3, padding=1)
    layout = torch.contiguous_format if mode == "eager" else torch.channels_last
    model = torch.nn.ModuleList([before, backbone, after]).to(device, memory_format=layout)
    applied = torch.compile(backbone) if mode == "compile" else backbone
    x = torch.rand(case.batch_size, 3, size, size, device=device) * 2 - 1
    x = x.to(memory_format=layout)
    timesteps = torch.full((case.batch_size,), 999, device=device)

    def logits() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=case.dtype == "bfloat16"):
            return after(applied(before(x), timesteps).sample).float()

    def forward() -> None:
        with torch.inference_mode():
            logits().sum().item()

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    mask = torch.randint(0, 2, (case.batch_size, size, size), device=device)
    weight = torch.tensor([1.0, 5.0], device=device)

    def train() -> None:
        loss = torch.nn.functional.cross_entropy(logits(), mask, weight=weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return train if kind == "train" else forward
