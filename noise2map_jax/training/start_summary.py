"""The summary that a training run prints before it begins."""

import jax

from noise2map_jax.experiment.components import count_params
from noise2map_jax.experiment.config_fields import Changes, describe
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.network.matmul_precision import describe_precision
from noise2map_jax.training.trainer import Run, Start

LENGTH = {"train.num_steps", "train.num_epochs"}


def start_summary(run: Run, start: Start, num_steps: int, changed: Changes) -> str:
    """Describe the coming training of one network, in a few lines.

    Args:
        run: the network.
        start: the state that training starts from.
        num_steps: number of steps of the whole run.
        changed: fields that changed since the run was started.
    """
    experiment, workdir = run.experiment, run.workdir
    config, mesh, params = experiment.config, experiment.mesh, start.state.params
    (origin,) = start.origins
    backbone, rest = count_params(params["unet"]), count_params(params)
    factor = config.train.backbone_learning_rate_factor
    trained = {0.0: ", frozen", 1.0: ""}.get(factor, f", learning rate x {factor:g}")
    rows = config.train.batch_size // mesh.size
    device = mesh.devices.flat[0]
    precision = describe_precision(
        config.model.dtype, config.model.matmul_precision, device.platform
    )
    several = bool(config.tasks)
    lines = []
    for objective in experiment.objectives.values():
        lines += _about(objective, several)
        lines += [f"warning     {line}" for line in missing_classes(objective)]
    lines += [
        f"parameters  {rest:,}, of which backbone {backbone:,}{trained}",
        f"precision   {precision}",
        *([f"initial     {origin}"] if origin else []),
        f"devices     {mesh.size} x {device.device_kind} in {jax.process_count()} process(es)",
        f"batch       {config.train.batch_size} images{' a task' if several else ''}, {rows} a "
        f"device, {config.train.num_microbatches} micro-batch(es)",
        f"steps       {num_steps:,}" + (f", resuming at {start.step:,}" if start.step else ""),
        f"work folder {workdir}",
    ]
    if changed:
        lines.append(f"changed since this run was started: {describe(changed)}")
    if start.step and config.train.cosine and changed.keys() & LENGTH:
        lines.append(
            f"from step {start.step:,} the learning rate follows a cosine of another length"
        )
    return "\n".join(lines)


def _about(objective: Objective, several: bool) -> list[str]:
    config, data, problem = objective.config, objective.dataset, objective.problem
    validated = "not validated"
    if config.train.validate:
        validated = f"val: {data.num_records('val')} tiles"
    if objective.task.has_classes:
        weights = ", ".join(f"{w:.3g}" for w in problem.class_weights)
        what = f"{' | '.join(config.data.classes)}, class weights {weights}"
    else:
        what = f"predicts {config.noise.prediction_type}"
    weight = f", loss x {problem.weight:g}" if several else ""
    return [
        f"task        {config.task}: {what}{weight}",
        f"data        {data.describe('train')}; {validated}",
    ]


def missing_classes(objective: Objective) -> list[str]:
    """Say which classes never occur in train or val, and what that means, a sentence each."""
    entries = objective.dataset.splits
    if not objective.task.has_classes or "class_pixels" not in entries["train"]:
        return []
    dataset, classes = objective.dataset, objective.config.data.classes
    lines = []
    counts = dataset.class_pixels("train")
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        lines.append(f"train holds no pixel of {', '.join(absent)}: nothing can be learned of it")
    if not objective.config.train.validate:
        return lines
    counts = dataset.class_pixels("val")
    if not sum(counts):
        lines.append(
            "val holds no pixel that counts: nothing can be measured, and the last parameters are "
            "kept as the best"
        )
    elif not sum(counts[1:]):
        lines.append(
            f"val holds no foreground (0 of {sum(counts):,} pixels): F1 is not defined there, and "
            "the parameters of the lowest validation loss are kept as the best"
        )
    else:
        absent = [name for name, count in zip(classes, counts, strict=True) if not count]
        if absent:
            lines.append(
                f"val holds no pixel of {', '.join(absent)}: means are over the other classes, and "
                "over these where they are predicted"
            )
    return lines
