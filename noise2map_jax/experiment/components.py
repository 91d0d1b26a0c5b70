"""Builders of an experiment's parts from a config: task, noise process, class weights."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from noise2map_jax.data.dataset import Dataset
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.network_choice import sample_size, sees_noise
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.experiment.scaling_config import value_range
from noise2map_jax.experiment.schedule_config import create_schedule
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.method import noise
from noise2map_jax.method.augment import Augmentation
from noise2map_jax.method.class_losses import sum_of_losses
from noise2map_jax.method.losses import balanced_class_weights
from noise2map_jax.method.tasks import Task, get_task
from noise2map_jax.network.interface import Network, init_params
from noise2map_jax.network.statistics import collections

DEFAULT_LOSSES = ("cross_entropy",)
KINDS = ("structured", "clean", "clean_timestep")


def create_task(config: ConfigDict) -> Task:
    """Look up the task that a config of one task names, with the loss that it names.

    Raises:
        UserError: the task or a loss is unknown, or a task without classes has a loss of classes.
    """
    task, losses = get_task(config.task, config.noise.prediction_type), config.train.losses
    if not task.has_classes:
        if tuple(losses) != DEFAULT_LOSSES:
            raise UserError(
                f"train.losses is {tuple(losses)}, but task {task.name} has the squared error"
                " alone; leave it out"
            )
        return task
    return dataclasses.replace(task, loss=sum_of_losses(tuple(losses)))


def create_problem(
    config: ConfigDict, model: Network, class_weights: tuple[float, ...], weight: float = 1.0
) -> Problem:
    """Build the static part of the steps of a task.

    Args:
        config: config of one task.
        model: the network.
        class_weights: weight of each class in the loss.
        weight: weight of this task's loss in the sum over tasks.

    Raises:
        UserError: the crop size or the value range is invalid.
    """
    tile_size, seen = config.data.tile_size, sample_size(config)
    augmentation = Augmentation(**config.augment)
    crop_size = augmentation.crop_size
    if crop_size > tile_size:
        raise UserError(
            f"augment.crop_size is {crop_size}; the tiles have only {tile_size} pixels a side"
        )
    if seen and crop_size not in (0, tile_size):
        raise UserError(
            f"augment.crop_size is {crop_size} and model.sample_size {seen}: crops and "
            f"whole tiles of {tile_size} would be resampled differently; set model.sample_size=0"
        )
    if augmentation.seen_size(tile_size) > tile_size:
        least = math.ceil(1000 * (crop_size or tile_size) / tile_size) / 1000
        raise UserError(
            f"augment.zoom begins at {augmentation.zoom[0]:g}, so crops of "
            f"{crop_size or tile_size} pixels see up to {augmentation.seen_size(tile_size):.0f}, "
            f"but tiles have only {tile_size}; begin at {least:g} or more, or crop less"
        )
    task = create_task(config)
    if augmentation.paste and not task.has_classes:
        raise UserError(
            f"augment.paste is {augmentation.paste}, but task {task.name} has no foreground that "
            "could be pasted; set it to 0"
        )
    pairs, num_classes = len(task.image_keys) > 1, len(config.data.classes)
    if augmentation.paste and pairs and num_classes > 2:
        raise UserError(
            f"augment.paste is {augmentation.paste}, but the pairs have {num_classes} "
            "classes: what is pasted is a new building, which not every class is; set it to 0"
        )
    if augmentation.unchanged and not (pairs and num_classes == 2):
        found = f"pairs with {num_classes} classes" if pairs else "no pairs"
        raise UserError(
            f"augment.unchanged is {augmentation.unchanged}, but task {task.name} has {found}; set "
            "it to 0, for it makes pairs without a change"
        )
    if augmentation.paste and config.train.batch_size == 1:
        raise UserError(
            f"augment.paste is {augmentation.paste} and train.batch_size 1: there is no other "
            "tile to paste from; set train.batch_size to 2 or more"
        )
    return Problem(
        model=model,
        task=task,
        value_range=value_range(config),
        class_weights=class_weights,
        augmentation=augmentation,
        weight=weight,
        frozen_statistics=config.train.frozen_statistics,
        temperature=config.eval.temperature,
    )


def abstract_params(model: Network, tile_sizes: Mapping[str, int]) -> Any:
    """Shapes and types of a network's parameters; `tile_sizes`: side in pixels, by task."""
    return _abstract_params(model, tuple(sorted(tile_sizes.items())))


@functools.lru_cache(maxsize=16)  # tracing takes a second, and a study traces the same many times
def _abstract_params(model: Network, tile_sizes: tuple[tuple[str, int], ...]) -> Any:
    sizes = dict(tile_sizes)
    return jax.eval_shape(lambda key: init_params(model, key, sizes), jax.random.key(0))


def trained_sizes(config: ConfigDict) -> dict[str, int]:
    """Side of the network's input in training, in pixels, by task."""
    return {
        name: view.augment.crop_size or view.data.tile_size
        for name, view in task_configs(config).items()
    }


def evaluated_sizes(config: ConfigDict) -> dict[str, int]:
    """Side of the network's input in evaluation, in pixels, by task: whole tiles for maps."""
    sizes = trained_sizes(config)
    for name, view in task_configs(config).items():
        if get_task(name).has_classes:
            sizes[name] = view.data.tile_size
    return sizes


def create_process(config: ConfigDict) -> noise.NoiseProcess:
    """Build the noise process that a config of one task describes."""
    task, options = get_task(config.task), config.noise
    inference = tuple(options.inference_timesteps)
    if options.kind not in KINDS:
        raise UserError(f"unknown noise.kind {options.kind!r}; expected one of {', '.join(KINDS)}")
    _check_ranges(options)
    kind = options.kind
    if not sees_noise(config):
        kind, inference = "clean", inference[-1:]  # all timesteps would give the same map
    mix = task.default_mix if options.mix == "default" else options.mix
    names = noise.NoiseMix.__dataclass_fields__
    if mix not in names:
        raise UserError(f"unknown noise.mix {mix!r}; expected default, {', '.join(names)}")
    if mix == "swap" and len(task.image_keys) < 2:
        raise UserError(f"noise.mix is 'swap', but task {task.name!r} has one image, not a pair")
    if not task.has_classes and (mix, options.kind) != ("gaussian", "structured"):
        raise UserError(
            f"noise.kind is {options.kind!r} and noise.mix {mix!r}; task {task.name!r} learns from "
            "structured, gaussian noise only"
        )
    structured = noise.create_noise_process(
        create_schedule(options),
        **{mix: 1.0},
        timestep_range=tuple(options.timestep_range),
        min_contrast=options.min_contrast,
        contrast_power=options.contrast_power,
        inference_timesteps=inference,
        use_timestep=options.use_timestep,
    )
    if kind == "structured":
        return structured
    return noise.clean_noise_process(
        options.num_train_timesteps,
        use_timestep=kind == "clean_timestep",
        inference_timesteps=inference,
    )


def predicting_at(config: ConfigDict, timesteps: Sequence[int]) -> ConfigDict:
    """Return a copy of a config of one task that predicts at other timesteps; empty = its own.

    Raises:
        UserError: the network sees neither noise nor a timestep.
    """
    config = config.copy_and_resolve_references()
    if timesteps:
        if not sees_noise(config):
            raise UserError(
                f"timesteps are {', '.join(map(str, timesteps))}, but {config.model.name} sees"
                " neither noise nor a timestep here; leave them out"
            )
        config.noise.inference_timesteps = tuple(timesteps)
    return config


def _check_ranges(options: ConfigDict) -> None:
    """Raise if a schedule parameter is out of its range."""
    ranges = {
        "beta_start, beta_end": (options.beta_start, options.beta_end, 1.0),
        "max_beta": (options.max_beta, options.max_beta, 1.0),
        "sigma_min, sigma_max": (options.sigma_min, options.sigma_max, math.inf),
        "rho": (options.rho, options.rho, math.inf),
    }
    for names, (low, high, limit) in ranges.items():
        if not 0 < low <= high < limit:
            raise UserError(
                f"noise.{names}: {low:g} to {high:g}; expected 0 < first <= last < {limit:g}"
            )


def class_weights(config: ConfigDict, dataset: Dataset | None) -> tuple[float, ...]:
    """Return the weight of each class in the loss: configured, or from pixel counts of train.

    Where pixels would be counted but `dataset` is None, every class weighs 1.
    """
    if not get_task(config.task).has_classes:
        return ()
    source, classes = config.train.class_weights_from, config.data.classes
    if source == "data":
        if dataset is None:
            return (1.0,) * len(classes)
        if config.train.scene_share != 1:
            raise UserError(
                f"train.scene_share is {config.train.scene_share:g}, but the pixels of each class "
                "are known of all scenes together; set train.class_weights_from=config"
            )
        if config.train.place_power != 1:
            raise UserError(
                f"train.place_power is {config.train.place_power:g}, but the pixels of each class "
                "are counted as if every tile were read as often; set "
                "train.class_weights_from=config"
            )
        counts = jnp.asarray(dataset.class_pixels("train"), jnp.float32)
        return tuple(float(w) for w in balanced_class_weights(counts))
    if source != "config":
        raise UserError(f"unknown train.class_weights_from {source!r}; expected config or data")
    weights = tuple(config.train.class_weights)
    if len(weights) != len(classes) or min(weights) < 0 or max(weights) <= 0:
        raise UserError(
            f"train.class_weights is {weights}; expected {len(classes)} numbers >= 0, one for "
            f"each of the classes {', '.join(classes)}"
        )
    return weights


def count_params(params: Any) -> int:
    """Number of parameters in a tree, without statistics of batch normalisation."""
    trained = collections(params)["params"]
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(trained))
