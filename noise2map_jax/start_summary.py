"""What a training run says before it begins."""

import json
import pathlib
from typing import Any

import jax

from noise2map_jax.experiment import Experiment, count_params
from noise2map_jax.train_state import TrainState


def start_summary(
    experiment: Experiment, state: TrainState, workdir: pathlib.Path, num_steps: int, first: int
) -> str:
    """Say what is about to happen."""
    config, mesh, data = experiment.config, experiment.mesh, experiment.dataset
    backbone = count_params(state.params["unet"])
    rows = config.train.batch_size // mesh.size
    device = mesh.devices.flat[0]
    lines = [
        f"task        {config.task}: {' | '.join(config.data.classes)}, class weights "
        + ", ".join(f"{w:.3g}" for w in experiment.problem.class_weights),
        f"data        {data.protocol('train')}; val: {data.num_records('val')} tiles",
        f"parameters  {count_params(state.params):,}, of which backbone {backbone:,}; "
        f"compute {config.model.dtype}",
        f"devices     {mesh.size} x {device.device_kind} in {jax.process_count()} process(es)",
        f"batch       {config.train.batch_size} images, {rows} a device, "
        f"{config.train.num_microbatches} micro-batch(es)",
        f"steps       {num_steps:,}" + (f", going on from {first:,}" if first else ""),
        f"work folder {workdir}",
    ]
    if (workdir / "config.json").exists():
        before = json.loads((workdir / "config.json").read_text())
        changed = sorted(_differences(before, json.loads(config.to_json_best_effort())))
        if changed:
            lines.append(f"changed since this run was started: {', '.join(changed)}")
    return "\n".join(lines)


def _differences(before: Any, now: Any, prefix: str = "") -> set[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        found: set[str] = set()
        for key in before.keys() | now.keys():
            found |= _differences(before.get(key), now.get(key), f"{prefix}{key}.")
        return found
    return set() if before == now else {prefix.rstrip(".")}
