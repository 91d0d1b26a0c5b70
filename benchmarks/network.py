"""Measures forward pass and training step against PyTorch: images/s, TFLOP/s, share of the peak.

Both use the same network, loss and Adam, in the same run; where PyTorch's packages lack a network,
JAX is measured alone. JAX's training step also scales the images
and mixes the noise; PyTorch's step gets the result of that as its input. On a CPU the peak memory
is that of the process so far, earlier measurements included. The FLOP are those of
JAX's program before it is compiled, as in the log of training; PyTorch's rate uses the same number.
"""

import argparse
import itertools
from typing import Any

import jax.numpy as jnp

from benchmarks import machine, network_jax
from benchmarks.cases import NETWORKS, Case
from noise2map_jax.cost.matmul_peak import matmul_peak

KINDS = ("forward", "train")
TORCH_MODES = ("eager", "channels_last", "compile")  # compile: channels_last, compiled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["thin"])
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[8])
    parser.add_argument("--tile_size", type=int, default=256)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--torch_modes", nargs="*", choices=TORCH_MODES, default=["eager"])


def run(arguments: argparse.Namespace) -> None:
    """Measure and report."""
    peak = matmul_peak(jnp.dtype(arguments.dtype))
    in_torch: tuple[str, ...] = ()
    if arguments.torch_modes:
        try:
            from benchmarks import network_torch, torch_networks

            in_torch = torch_networks.NETWORKS
        except ImportError as error:
            print(f"PyTorch is left out: {error}")
    rows: list[dict[str, Any]] = []
    result = {
        "benchmark": "network",
        "machine": machine.describe(),
        "options": {k: v for k, v in vars(arguments).items() if k not in ("name", "output")},
        "matmul_peak_tflop_per_s": peak / 1e12,
        "rows": rows,
    }
    for network, batch_size, kind in itertools.product(
        arguments.networks, arguments.batch_sizes, arguments.kinds
    ):
        case = Case(network, batch_size, arguments.tile_size, arguments.dtype, arguments.repeats)
        row: dict[str, Any] = {"network": network, "kind": kind, "batch_size": batch_size}
        row["jax"] = network_jax.measure(case, kind)
        for mode in arguments.torch_modes if network in in_torch else ():
            device = network_torch.default_device()
            row[f"torch {mode}"] = network_torch.measure(case, kind, mode, device)
        _rate(row, peak)
        print(_line(row), flush=True)
        rows.append(row)
        # As it comes: a later network can end the process for want of memory.
        machine.write(result, arguments.output)
    machine.report(result, arguments.output)


def _rate(row: dict[str, Any], peak: float) -> None:
    """Add images/s and shares of the peak to each side, and PyTorch's best time over JAX's."""
    flop = row["jax"].get("flop")
    sides = [side for side in row.values() if isinstance(side, dict) and "seconds" in side]
    for side in sides:
        side |= machine.rates(row["batch_size"], side["seconds"]["median"], flop, peak)
    others = [side["seconds"]["median"] for side in sides if side is not row["jax"]]
    if others and "seconds" in row["jax"]:
        row["torch_time_over_jax_time"] = min(others) / row["jax"]["seconds"]["median"]


def _line(row: dict[str, Any]) -> str:
    parts = [f"{row['network']:21} {row['kind']:8} {row['batch_size']:4} images"]
    for name, side in row.items():
        if isinstance(side, dict):
            said = side.get("error") or (
                f"{side['images_per_second']:.4g} images/s "
                f"({side['seconds']['least']:.4g} to {side['seconds']['most']:.4g} s)"
            )
            parts.append(f"{name} {said}")
    if "torch_time_over_jax_time" in row:
        parts.append(f"{row['torch_time_over_jax_time']:.2f} times PyTorch's best")
    return "; ".join(parts)
