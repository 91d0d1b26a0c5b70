"""PyTorch's side of the benchmark `network`: the same losses and optimiser."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks import machine
from benchmarks.cases import Case
from benchmarks.torch_networks import create


def default_device() -> str:
    """Return `cuda` where PyTorch sees a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def measure(case: Case, kind: str, mode: str, device: str) -> dict[str, Any]:
    """Time the forward pass or the training step in one of PyTorch's modes.

    Args:
        case: what to measure; bfloat16 is done by autocast.
        kind: `forward` or `train`.
        mode: one of `network.TORCH_MODES`.
        device: `cpu` or `cuda`.

    Returns:
        Seconds a call, or `error` if the batch does not fit into memory or no compiler is found.
    """
    try:
        return {"seconds": machine.time_calls(_call(case, kind, mode, device), case.repeats)}
    # Out of memory, errors of torch.compile, no package that has the network.
    except (RuntimeError, ImportError) as error:
        return {"error": str(error).splitlines()[0][:200]}
    finally:
        torch.compiler.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _call(case: Case, kind: str, mode: str, device: str) -> Callable[[], None]:
    size = case.tile_size
    network = create(case)
    layout = torch.contiguous_format if mode == "eager" else torch.channels_last
    model = network.to(device, memory_format=layout).train(kind == "train")
    applied = torch.compile(model) if mode == "compile" else model
    bands = 6 if case.task == "cd" else 3
    x = torch.rand(case.batch_size, bands, size, size, device=device) * 2 - 1
    x = x.to(memory_format=layout)

    def logits() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=case.dtype == "bfloat16"):
            return applied(x).float()

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
