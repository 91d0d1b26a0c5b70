"""The summary that a training run prints before it begins."""

import jax
import numpy as np

from noise2map_jax.buckets.names import shown
from noise2map_jax.cost.placement import placement_warnings
from noise2map_jax.data.place_balance import place_shares
from noise2map_jax.experiment.components import count_params
from noise2map_jax.experiment.config_fields import Changes, describe
from noise2map_jax.experiment.experiment import Experiment, Objective
from noise2map_jax.network.interface import Network
from noise2map_jax.network.matmul_precision import describe_precision
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.steps.optimizer import BACKBONES
from noise2map_jax.steps.train_state import TrainState
from noise2map_jax.training.start import Start
from noise2map_jax.training.trainer import Run

LENGTH = {"train.num_steps", "train.num_epochs"}


def start_summary(
    run: Run, start: Start, num_steps: int, changed: Changes, warmup_asked: int
) -> str:
    """Describe the coming training of one network, in a few lines.

    Args:
        run: the network.
        start: the state that training starts from.
        num_steps: number of steps of the whole run.
        changed: fields that changed since the run was started.
        warmup_asked: `train.warmup_steps` of the requested config.
    """
    experiment, workdir = run.experiment, run.workdir
    config, mesh, params = experiment.config, experiment.mesh, start.state.params
    (origin,) = start.origins
    backbone = count_params({k: v for k, v in params.items() if k in BACKBONES})
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
    lines += [
        f"parameters  {count_params(params):,}, of which backbone {backbone:,}{trained}",
        f"precision   {precision}",
        *([f"initial     {origin}"] if origin else []),
        *_mixture(experiment, start.state),
        f"devices     {mesh.size} x {device.device_kind} in {jax.process_count()} process(es)",
        f"batch       {config.train.batch_size} images{' a task' if several else ''}, {rows} a "
        f"device, {config.train.num_microbatches} micro-batch(es)",
        f"steps       {num_steps:,}" + (f", resuming at {start.step:,}" if start.step else ""),
        f"work folder {shown(workdir)}",
        *(f"warning     {line}" for line in warnings(experiment, num_steps, warmup_asked)),
        *(f"warning     {line}" for line in placement_warnings(config, mesh, start.state)),
    ]
    if changed:
        lines.append(f"changed since this run was started: {describe(changed)}")
    if start.step and config.train.cosine and changed.keys() & LENGTH:
        lines.append(
            f"from step {start.step:,} the learning rate follows a cosine of another length"
        )
    return "\n".join(lines)


def _mixture(experiment: Experiment, state: TrainState) -> list[str]:
    """Say which weights are validated and kept where they are not the trained ones alone."""
    config = experiment.config
    share = config.train.initial_share
    if not share:
        return []
    if not config.init_from:
        return ["kept        trained weights alone: without init_from there is no initial share"]
    line = f"kept        {1 - share:.3g} x trained weights + {share:.3g} x those of init_from"
    assert state.initial is not None
    num_drawn = sum(not np.any(each) for each in jax.tree.leaves(state.initial.share))
    if not num_drawn:
        return [line]
    return [
        line,
        f"warning     {num_drawn} tensors begin at random and are kept as trained, behind tensors "
        "that are mixed: this was not measured; train.initial_share=0.0 keeps all as trained",
    ]


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
        *_share(objective),
        *_places(objective),
    ]


def _share(objective: Objective) -> list[str]:
    """Say how many scenes and tiles `train.scene_share` leaves."""
    config, data = objective.config, objective.dataset
    if (share := config.train.scene_share) == 1:
        return []
    drawn = objective.scene_share(config.seed).scenes(data)
    turns = ""
    if config.train.share_by_place:
        places, every = objective.train_places(config.seed), data.record_places("train")
        turns = f", of {len(set(places))} of {len(set(every))} places{_unknown(objective)} in turn"
    return [
        f"            train.scene_share={share:g}: {len(drawn)} of {data.num_scenes('train')} "
        f"scenes, {len(objective.train_source(config.seed))} tiles{turns}, drawn with seed "
        f"{config.seed}"
    ]


def _unknown(objective: Objective) -> str:
    return "" if objective.dataset.places_known else " (not known: each scene counts as one)"


def _places(objective: Objective) -> list[str]:
    """Say what `train.place_power` makes of the place with most tiles and of that with fewest."""
    config = objective.config
    if (power := config.train.place_power) == 1:
        return []
    places = objective.train_places(config.seed)
    tiles, read = place_shares(places, 1.0), place_shares(places, power)
    largest, smallest = max(tiles, key=tiles.__getitem__), min(tiles, key=tiles.__getitem__)
    what = ", ".join(
        f"{read[name]:.1%} show {name}, which has {tiles[name]:.1%} of the tiles"
        for name in dict.fromkeys((largest, smallest))
    )
    return [
        f"            train.place_power={power:g}, {len(tiles)} places{_unknown(objective)}: of "
        f"all tiles that are read {what}"
    ]


def warnings(experiment: Experiment, num_steps: int, warmup_asked: int) -> list[str]:
    """Say what of the data cannot be learned or measured, and what is done otherwise than asked.

    Args:
        experiment: the experiment.
        num_steps: number of steps of the whole run.
        warmup_asked: `train.warmup_steps` of the requested config.

    Returns:
        A sentence each.
    """
    objectives = experiment.objectives.values()
    lines = [line for objective in objectives for line in _missing_classes(objective)]
    without = [o for o in objectives if _counts(o, "val") and not sum(_counts(o, "val")[1:])]
    if without and experiment.config.train.validate:
        names = {o.task.name for o in without}
        others = [name for name in experiment.objectives if name not in names]
        if others:
            chosen = f"the mean score of {', '.join(others)} alone chooses the best parameters"
        elif any(sum(_counts(o, "val")) for o in without):
            chosen = "the parameters of the lowest validation loss are kept as the best"
        else:
            chosen = "nothing can be measured, and the last parameters are kept as the best"
        lines.append(f"without foreground in val F1 is not defined: {chosen}")
    lines += _narrow_patches(experiment.model)
    if (used := experiment.config.train.warmup_steps) != warmup_asked:
        lines.append(
            f"the warm-up takes {used} steps, not train.warmup_steps = {warmup_asked}: the run has "
            f"{num_steps}"
        )
    return lines


def _narrow_patches(model: Network) -> list[str]:
    """Say where a patch has more numbers than the backbone has channels for it."""
    if not isinstance(model, Noise2Map) or model.patch_size == 1:
        return []
    pixels, lines = model.patch_size**2, []
    for what, own, per_pixel in (
        ("in_channels", model.unet.in_channels, max(h.num_inputs for h in model.heads)),
        ("out_channels", model.unet.out_channels, max(h.num_outputs for h in model.heads)),
    ):
        if own < (needed := pixels * per_pixel):
            lines.append(
                f"model.unet.{what} is {own}, fewer than the {needed} numbers of a patch of "
                f"{model.patch_size} x {model.patch_size}: a part of them is lost; set it to "
                f"{needed} or more"
            )
    return lines


def _counts(objective: Objective, split: str) -> list[int]:
    """Return the pixels of each class in a split; empty if the manifest does not count them."""
    entry = objective.dataset.splits.get(split, {})
    known = objective.task.has_classes and "class_pixels" in entry
    return objective.dataset.class_pixels(split) if known else []


def _missing_classes(objective: Objective) -> list[str]:
    """Say which classes never occur in train or val, a sentence each."""
    lines, classes = [], objective.config.data.classes
    name = objective.dataset.name
    for split in ("train", "val") if objective.config.train.validate else ("train",):
        counts = _counts(objective, split)
        absent = [c for c, count in zip(classes, counts, strict=bool(counts)) if not count]
        effect = (
            "nothing can be learned of it"
            if split == "train"
            else "no mean counts it where it is not predicted"
        )
        if counts and not sum(counts):
            lines.append(f"{split} of {name} holds no pixel that counts: all are ignored")
        elif counts and not sum(counts[1:]):
            lines.append(f"{split} of {name} holds no foreground (0 of {sum(counts):,} pixels)")
        elif absent:
            lines.append(f"{split} of {name} holds no pixel of {', '.join(absent)}: {effect}")
    return lines
