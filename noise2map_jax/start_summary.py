"""What a training run says before it begins."""

import pathlib

import jax

from noise2map_jax.experiment import Experiment, count_params
from noise2map_jax.run import differences, load_config
from noise2map_jax.train_state import TrainState


def start_summary(
    experiment: Experiment,
    state: TrainState,
    workdir: pathlib.Path,
    num_steps: int,
    first: int,
    origin: str,
) -> str:
    """Say what is about to happen; `origin` tells where initial values come from, if not random."""
    config, mesh, data = experiment.config, experiment.mesh, experiment.dataset
    backbone = count_params(state.params["unet"])
    rows = config.train.batch_size // mesh.size
    device = mesh.devices.flat[0]
    lines = [
        f"task        {config.task}: {' | '.join(config.data.classes)}, class weights "
        + ", ".join(f"{w:.3g}" for w in experiment.problem.class_weights),
        f"data        {data.describe('train')}; val: {data.num_records('val')} tiles",
        f"parameters  {count_params(state.params):,}, of which backbone {backbone:,}; "
        f"compute {config.model.dtype}",
        *([f"initial     {origin}"] if origin else []),
        f"devices     {mesh.size} x {device.device_kind} in {jax.process_count()} process(es)",
        f"batch       {config.train.batch_size} images, {rows} a device, "
        f"{config.train.num_microbatches} micro-batch(es)",
        f"steps       {num_steps:,}" + (f", going on from {first:,}" if first else ""),
        f"work folder {workdir}",
    ]
    if (workdir / "config.json").exists():
        changed = differences(load_config(workdir), config)
        if changed:
            lines.append(f"changed since this run was started: {', '.join(changed)}")
    return "\n".join(lines)
