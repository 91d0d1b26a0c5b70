"""An experiment made from a config: the network, one objective for each task, the devices."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.data.dataset import DATA_FIELDS, Dataset, check_dataset
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.data.scene_share import SceneShare
from noise2map_jax.devices.sharding import create_mesh, replicate
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.bands_config import resolve_bands
from noise2map_jax.experiment.components import (
    abstract_params,
    class_weights,
    create_problem,
    create_process,
    evaluated_sizes,
)
from noise2map_jax.experiment.config_json import missing_fields, named
from noise2map_jax.experiment.map_tiles import check_tile_size
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.experiment.scaling_config import resolve_scaling
from noise2map_jax.experiment.task_configs import task_configs, task_weight
from noise2map_jax.method import noise
from noise2map_jax.method.tasks import Task
from noise2map_jax.network.interface import Network


@dataclasses.dataclass(frozen=True)
class Objective:
    """One task of an experiment with its records, its static part and its noise process.

    Attributes:
        config: the experiment's config as if this task were the only one.
        dataset: the records.
        problem: network, task and scaling: the static part of a step.
        process: the noise process, an argument of a step; replicated on every device.
    """

    config: ConfigDict
    dataset: Dataset
    problem: Problem
    process: noise.NoiseProcess

    @property
    def num_noise_draws(self) -> int:
        """Number of Gaussian noise draws that a map averages; 0 if no noise is drawn."""
        has_draws = self.task.has_classes and noise.has_gaussian(self.process)
        return self.config.eval.num_noise_draws if has_draws else 0

    @property
    def task(self) -> Task:
        """The task: its inputs and targets."""
        return self.problem.task

    def scene_share(self, seed: int) -> SceneShare:
        """Which scenes a network of this seed is trained on."""
        train = self.config.train
        return SceneShare(train.scene_share, train.share_by_place, seed)

    def train_source(self, seed: int) -> Sequence[Any]:
        """Open the records that a network of this seed is trained on: see `train.scene_share`."""
        return self.scene_share(seed).source(self.dataset)

    def train_places(self, seed: int) -> list[str]:
        """Return the place of each record of `train_source`."""
        return self.scene_share(seed).places(self.dataset)

    def protocol(self, split: str) -> str:
        """Describe in one line the data that a score on this split was measured on."""
        describe = self.dataset.protocol if self.task.has_classes else self.dataset.describe
        return describe(split)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The parts that training and evaluation share.

    Attributes:
        config: the config, completed with values read from the data.
        model: the network.
        objectives: the objective of each task, by task name.
        mesh: the devices.
    """

    config: ConfigDict
    model: Network
    objectives: dict[str, Objective]
    mesh: Mesh

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the datasets' records, by task."""
        return {name: objective.dataset.digest for name, objective in self.objectives.items()}

    def file_name(self, name: str, task: str) -> str:
        """Name a file of one task: `name.ext`, or `name_<task>.ext` in a run of several tasks."""
        path = pathlib.PurePath(name)
        return f"{path.stem}_{task}{path.suffix}" if self.config.tasks else name

    def metric_name(self, name: str, task: str) -> str:
        """Name a number of one task: `name`, or `<task>/name` in a run of several tasks."""
        return f"{task}/{name}" if self.config.tasks else name


def create_experiment(config: ConfigDict, trained: ConfigDict | None = None) -> Experiment:
    """Make the parts of an experiment, and check them against each other.

    Args:
        config: the requested config.
        trained: the config of an earlier part of the same run, whose scaling is kept.

    Raises:
        UserError: a field is wrong or missing; the message names the first one.
    """
    if missing := missing_fields(config):
        raise UserError(
            f"the config lacks {named(missing)}; begin with get_config() of configs/default.py, "
            "which has all fields"
        )
    if not 0 <= config.seed < 2**32:  # the range of seeds for random keys
        raise UserError(f"seed is {config.seed}; expected 0 or more and less than 2**32")
    if config.eval.num_noise_draws < 1:
        raise UserError(
            f"eval.num_noise_draws is {config.eval.num_noise_draws}; expected 1 or more"
        )
    if not 0 < (share := config.train.scene_share) <= 1:
        raise UserError(f"train.scene_share is {share:g}; expected more than 0, and at most 1")
    if not 0 <= (power := config.train.place_power) <= 1:
        raise UserError(
            f"train.place_power is {power:g}; expected 0 (every place is read as often) to 1 "
            "(every tile is)"
        )
    datasets = {name: _open_dataset(view) for name, view in task_configs(config).items()}
    config = resolve_bands(resolve_scaling(config, datasets, trained), datasets, trained)
    sizes = [entry["num_records"] for d in datasets.values() if (entry := d.splits.get("train"))]
    if sizes:  # `config` is a copy by now: the run keeps the warm-up that it is trained with
        steps = num_train_steps(config, max(sizes))
        config.train.warmup_steps = shortened_warmup(config.train.warmup_steps, steps)
    model, mesh = create_model(config), create_mesh(config.mesh.fsdp)
    views = task_configs(config)
    objectives = {
        name: _create_objective(view, datasets[name], model, mesh, task_weight(config, name))
        for name, view in views.items()
    }
    if len({objective.task.has_classes for objective in objectives.values()}) > 1:
        raise UserError(
            f"the tasks {', '.join(objectives)} cannot be trained together: maps are scored by F1 "
            "and denoising by its loss, so no checkpoint is the best; pretrain with denoising first"
        )
    # Tracing finds a tile size that the network cannot take now, not after an epoch.
    abstract_params(model, evaluated_sizes(config))
    return Experiment(config, model, objectives, mesh)


def _open_dataset(config: ConfigDict) -> Dataset:
    dataset = open_dataset(config.data.dataset, config.data.data_dir)
    fields = {name: config.data[name] for name in DATA_FIELDS}
    check_dataset(dataset, task=config.task, **fields)
    return dataset


def _create_objective(
    config: ConfigDict, dataset: Dataset, model: Network, mesh: Mesh, weight: float
) -> Objective:
    problem = create_problem(config, model, class_weights(config, dataset), weight)
    if not problem.task.has_classes:
        check_sampling(config)
    elif config.eval.map_tile_size:
        check_tile_size(config, config.eval.map_tile_size, "eval.map_tile_size")
    return Objective(config, dataset, problem, replicate(create_process(config), mesh))


def check_sampling(config: ConfigDict) -> None:
    """Raise if the number of samples or of sampling steps is impossible."""
    samples, steps = config.eval.num_samples, config.eval.num_sampling_steps
    total = config.noise.num_train_timesteps
    if samples < 0 or not 0 < steps <= total:
        raise UserError(
            f"eval.num_samples is {samples} and eval.num_sampling_steps {steps}; expected 0 or "
            f"more samples and 1 to T = {total} steps"
        )


def num_train_steps(config: ConfigDict, num_records: int) -> int:
    """Return the length of a run in steps, for a training split of `num_records`.

    With `train.scene_share` an epoch is that share of the records, whichever scenes are drawn.
    """
    train = config.train
    if train.num_steps > 0:
        return train.num_steps
    num_read = train.scene_share * num_records
    return max(1, math.ceil(train.num_epochs * num_read / train.batch_size))


def shortened_warmup(warmup_steps: int, num_steps: int) -> int:
    """Return the steps of warm-up that a run has: half of it where it is no longer than asked.

    So a short trial of a config, which gives num_steps alone, still reaches the full learning rate.
    """
    return warmup_steps if warmup_steps < num_steps else num_steps // 2
