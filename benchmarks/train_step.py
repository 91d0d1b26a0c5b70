"""The training step: images/s, TFLOP/s, share of the matrix-product peak; PyTorch beside it.

The same U-Net, Adam, mean squared error, in the same run. The FLOP are those XLA counts in the
compiled step; PyTorch's time is set against the same number.
"""

import argparse
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import machine
from noise2map_jax import noise, schedules
from noise2map_jax.augment import Augmentation
from noise2map_jax.model import Head, Noise2Map, init_params
from noise2map_jax.problem import Problem
from noise2map_jax.step import train_step
from noise2map_jax.tasks import TASKS
from noise2map_jax.train_state import create_train_state
from noise2map_jax.unet import UNetConfig, block_types

THIN = {"block_out_channels": (16, 32, 64, 96), "attention": (), "groups": 8}
FULL = {"block_out_channels": (128, 128, 256, 256, 512, 512), "attention": (4,), "groups": 32}
BACKBONES = {"thin": THIN, "full": FULL}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--backbone", choices=list(BACKBONES), default="thin")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--tile_size", type=int, default=128)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--no_torch", action="store_true", help="leave PyTorch out")


def backbone_config(name: str) -> UNetConfig:
    """The shape of a backbone by its name."""
    shape = BACKBONES[name]
    down, up = block_types(shape["block_out_channels"], shape["attention"])
    return UNetConfig(
        block_out_channels=shape["block_out_channels"],
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=None,
        add_attention=bool(shape["attention"]),
        norm_num_groups=shape["groups"],
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure and report."""
    dtype = jnp.dtype(arguments.dtype)
    peak = machine.matmul_peak(dtype)
    result: dict[str, Any] = {
        "benchmark": "train_step",
        "machine": machine.describe(),
        "options": {k: v for k, v in vars(arguments).items() if k not in ("name", "output")},
        "matmul_peak_tflop_per_s": peak / 1e12,
        "jax": _measure_jax(arguments, dtype),
    }
    flop = result["jax"]["flop_a_step"]
    if not arguments.no_torch:
        torch_result = _measure_torch(arguments)
        if torch_result:
            result["torch"] = torch_result
            result["torch_time_over_jax_time"] = (
                torch_result["seconds_a_step"]["median"] / result["jax"]["seconds_a_step"]["median"]
            )
    for side in ("jax", "torch"):
        if side in result:
            seconds = result[side]["seconds_a_step"]["median"]
            result[side]["images_per_second"] = arguments.batch_size / seconds
            result[side]["tflop_per_s"] = flop / seconds / 1e12
            result[side]["share_of_matmul_peak"] = flop / seconds / peak
    machine.report(result, arguments.output)


def _measure_jax(arguments: argparse.Namespace, dtype: Any) -> dict[str, Any]:
    task, size, batch_size = TASKS["ss"], arguments.tile_size, arguments.batch_size
    model = Noise2Map(
        unet=backbone_config(arguments.backbone), heads=(Head("ss", 3, 2),), dtype=dtype
    )
    problem = Problem(model, task, (0.0, 255.0), (1.0, 5.0), Augmentation())
    tx = optax.adam(1e-4)
    key = jax.random.key(0)
    state = jax.jit(lambda k: create_train_state(init_params(model, k, size), tx, use_ema=False))(
        key
    )
    processes = {"ss": noise.create_noise_process(schedules.linear(1000), image=1.0)}
    rng = np.random.default_rng(0)
    batches = {
        "ss": {
            "image": jnp.asarray(rng.integers(0, 256, (batch_size, size, size, 3), np.uint8)),
            "mask": jnp.asarray(rng.integers(0, 2, (batch_size, size, size, 1), np.uint8)),
        }
    }
    step = functools.partial(train_step, problems={"ss": problem}, tx=tx)
    start = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(state, batches, processes, key).compile()
    compile_seconds = time.perf_counter() - start
    holder = {"state": state}

    def call() -> None:
        holder["state"], metrics = compiled(holder["state"], batches, processes, key)
        metrics["loss"].block_until_ready()

    timing = machine.time_calls(call, arguments.repeats)
    analysis = compiled.cost_analysis()
    return {
        "parameters": sum(p.size for p in jax.tree.leaves(holder["state"].params)),
        "compile_seconds": compile_seconds,
        "seconds_a_step": timing,
        "flop_a_step": analysis["flops"],
        "peak_memory_gib": machine.peak_memory() / 2**30,
    }


def _measure_torch(arguments: argparse.Namespace) -> dict[str, Any] | None:
    try:
        import torch
        from diffusers import UNet2DModel
    except ImportError as error:
        print(f"PyTorch's side is left out: {error}")
        return None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config, size = backbone_config(arguments.backbone), arguments.tile_size
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
    model = torch.nn.ModuleList([before, backbone, after]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    x = torch.rand(arguments.batch_size, 3, size, size, device=device) * 2 - 1
    mask = torch.randint(0, 2, (arguments.batch_size, size, size), device=device)
    weight = torch.tensor([1.0, 5.0], device=device)

    def call() -> None:
        t = torch.randint(0, 1000, (arguments.batch_size,), device=device)
        with torch.autocast(device, torch.bfloat16, enabled=arguments.dtype == "bfloat16"):
            logits = after(backbone(before(x), t).sample)
        loss = torch.nn.functional.cross_entropy(logits.float(), mask, weight=weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return {
        "threads": torch.get_num_threads(),
        "seconds_a_step": machine.time_calls(call, arguments.repeats),
    }
