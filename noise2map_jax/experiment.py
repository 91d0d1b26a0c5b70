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
from noise2map_jax.dataset import Dataset, check_dataset, open_dataset
from noise2map_jax.errors import UserError
from noise2map_jax.losses import balanced_class_weights
from noise2map_jax.model import Head, Noise2Map
from noise2map_jax.sharding import create_mesh
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
        process: how inputs are noised: an argument of a step.
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
    check_dataset(
        dataset,
        task=task.name,
        tile_size=data.tile_size,
        num_bands=data.num_bands,
        dtype=data.dtype,
        classes=data.classes,
    )
    if not data.value_range[0] < data.value_range[1]:
        raise UserError(f"value_range is {data.value_range}; expected low < high")
    if data.dtype == "uint16" and data.value_range[1] <= 255:
        raise UserError(
            f"data.value_range is {data.value_range} for uint16 images, which would be clipped to "
            "white; set it to the range of the sensor, such as 0.0,10000.0"
        )
    problem = Problem(
        model=create_model(config),
        task=task,
        value_range=tuple(data.value_range),
        class_weights=class_weights(config, dataset),
    )
    return Experiment(config, dataset, problem, create_process(config), create_mesh())


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
    if options.kind == "clean":
        return noise.clean_noise_process(
            options.num_train_timesteps, use_timestep=options.use_timestep
        )
    if options.kind != "structured":
        raise UserError(f"unknown noise.kind {options.kind!r}; expected structured or clean")
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
