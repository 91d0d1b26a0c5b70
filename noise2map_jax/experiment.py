"""From a config to the parts of an experiment: task, data, noise process, network, mesh."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax import noise, schedules
from noise2map_jax.dataset import DATA_FIELDS, Dataset, check_dataset, open_dataset
from noise2map_jax.errors import UserError
from noise2map_jax.losses import balanced_class_weights
from noise2map_jax.model import Head, Noise2Map, init_params
from noise2map_jax.sharding import create_mesh, replicate
from noise2map_jax.step import Problem
from noise2map_jax.tasks import get_task
from noise2map_jax.unet import UNetConfig, block_types

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
SCHEDULE_PARAMETERS = ("beta_start", "beta_end", "max_beta", "sigma_min", "sigma_max", "rho")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The parts that training and evaluation share.

    Attributes:
        config: what it was made from.
        dataset: the records.
        problem: network, task and scaling: the static part of a step.
        process: how inputs are noised: an argument of a step; on every device.
        mesh: the devices.
    """

    config: ConfigDict
    dataset: Dataset
    problem: Problem
    process: noise.NoiseProcess
    mesh: Mesh

    @property
    def record_keys(self) -> tuple[str, ...]:
        """The arrays of a record that a step takes."""
        task = self.problem.task
        return (*task.image_keys, "mask") if task.has_mask else task.image_keys


def create_experiment(config: ConfigDict) -> Experiment:
    """Make the parts of an experiment, and check them against each other.

    Raises:
        UserError: naming the first field that is wrong.
    """
    task = get_task(config.task)
    data = config.data
    dataset = open_dataset(data.dataset, data.data_dir)
    check_dataset(dataset, task=task.name, **{name: data[name] for name in DATA_FIELDS})
    if not data.value_range[0] < data.value_range[1]:
        raise UserError(f"value_range is {data.value_range}; expected low < high")
    if data.dtype == "uint16" and data.value_range[1] <= 255:
        raise UserError(
            f"data.value_range is {data.value_range} for uint16 images, which would be clipped to "
            "white; set it to the range of the sensor, such as 0.0,10000.0"
        )
    if config.seed < 0:
        raise UserError(f"seed is {config.seed}; expected 0 or more")
    crop_size, sample_size = config.augment.crop_size, config.model.sample_size
    if crop_size > data.tile_size:
        raise UserError(
            f"augment.crop_size is {crop_size}; the tiles have only {data.tile_size} pixels a side"
        )
    if sample_size and crop_size not in (0, data.tile_size):
        raise UserError(
            f"augment.crop_size is {crop_size} and model.sample_size {sample_size}: crops and "
            f"whole tiles of {data.tile_size} would be resampled differently; set "
            "model.sample_size=0"
        )
    problem = Problem(
        model=create_model(config),
        task=task,
        value_range=tuple(data.value_range),
        class_weights=class_weights(config, dataset),
    )
    # Traced, not run: a tile that the network cannot take is named now, not after an epoch.
    abstract_params(problem.model, data.tile_size)
    mesh = create_mesh()
    return Experiment(config, dataset, problem, replicate(create_process(config), mesh), mesh)


def trained_size(config: ConfigDict) -> int:
    """Side in pixels of what the network sees in training."""
    return config.augment.crop_size or config.data.tile_size


def abstract_params(model: Noise2Map, tile_size: int) -> Any:
    """Shapes and types of a network's parameters."""
    return jax.eval_shape(lambda key: init_params(model, key, tile_size), jax.random.key(0))


def create_model(config: ConfigDict) -> Noise2Map:
    """Build the network that a config describes."""
    task = get_task(config.task)
    fields: dict[str, Any] = dict(config.model.unet)
    channels = tuple(fields.pop("block_out_channels"))
    down, up = block_types(channels, tuple(fields.pop("attention_levels")))
    head_dim = fields.pop("attention_head_dim")
    unet = UNetConfig(
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=head_dim or None,
        **fields,
    )
    if config.model.dtype not in DTYPES:
        raise UserError(
            f"unknown model.dtype {config.model.dtype!r}; expected one of {', '.join(DTYPES)}"
        )
    num_bands = config.data.num_bands
    head = Head(
        task=task.name,
        num_inputs=num_bands * len(task.image_keys),
        num_outputs=task.num_outputs(num_bands, len(config.data.classes)),
    )
    return Noise2Map(
        unet=unet,
        heads=(head,),
        sample_size=config.model.sample_size,
        dtype=DTYPES[config.model.dtype],
    )


def create_process(config: ConfigDict) -> noise.NoiseProcess:
    """Build the noise process that a config describes."""
    task, options = get_task(config.task), config.noise
    if options.kind in ("clean", "clean_timestep"):
        return noise.clean_noise_process(
            options.num_train_timesteps, use_timestep=options.kind == "clean_timestep"
        )
    if options.kind != "structured":
        raise UserError(
            f"unknown noise.kind {options.kind!r}; expected structured, clean or clean_timestep"
        )
    _check_ranges(options)
    mix = task.default_mix if options.mix == "default" else options.mix
    names = noise.NoiseMix.__dataclass_fields__
    if mix not in names:
        raise UserError(f"unknown noise.mix {mix!r}; expected default, {', '.join(names)}")
    if mix == "swap" and len(task.image_keys) < 2:
        raise UserError(f"noise.mix is 'swap', but task {task.name!r} has one image, not a pair")
    table = schedules.create(
        options.schedule,
        options.num_train_timesteps,
        {name: options[name] for name in SCHEDULE_PARAMETERS},
    )
    return noise.create_noise_process(
        table,
        **{mix: 1.0},
        timestep_range=tuple(options.timestep_range),
        inference_timestep=options.inference_timestep,
        use_timestep=options.use_timestep,
    )


def _check_ranges(options: ConfigDict) -> None:
    """Refuse schedule parameters outside of their ranges."""
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


def class_weights(config: ConfigDict, dataset: Dataset) -> tuple[float, ...]:
    """Return the weight of each class in the loss: as configured, or counted from train."""
    if not get_task(config.task).has_mask:
        return ()
    source, classes = config.train.class_weights_from, config.data.classes
    if source == "data":
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


def num_train_steps(config: ConfigDict, num_records: int) -> int:
    """Length of a training run in steps."""
    if config.train.num_steps > 0:
        return config.train.num_steps
    return max(1, math.ceil(config.train.num_epochs * num_records / config.train.batch_size))


def count_params(params: Any) -> int:
    """Number of parameters in a tree."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def save_config(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Write `config.json`, from which a finished run can be used again."""
    workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config.to_dict(), indent=2) + "\n"
    temporary = workdir / "config.json.tmp"
    temporary.write_text(text)
    temporary.replace(workdir / "config.json")
