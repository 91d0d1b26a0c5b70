"""From a config to the parts of an experiment: network, objectives, devices."""

import dataclasses
import math
import pathlib

from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.data.dataset import DATA_FIELDS, Dataset, check_dataset, open_dataset
from noise2map_jax.devices.sharding import create_mesh, replicate
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import (
    abstract_params,
    class_weights,
    create_model,
    create_problem,
    create_process,
    evaluated_sizes,
)
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.experiment.scaling_config import resolve_scaling
from noise2map_jax.experiment.task_configs import task_configs, task_weight
from noise2map_jax.method import noise
from noise2map_jax.method.tasks import Task
from noise2map_jax.network.model import Noise2Map


@dataclasses.dataclass(frozen=True)
class Objective:
    """One task of an experiment: what it learns from, and how.

    Attributes:
        config: the experiment's, as if this task were alone.
        dataset: the records.
        problem: network, task and scaling: the static part of a step.
        process: how inputs are noised: an argument of a step; on every device.
    """

    config: ConfigDict
    dataset: Dataset
    problem: Problem
    process: noise.NoiseProcess

    @property
    def num_noise_draws(self) -> int:
        """Draws of Gaussian noise that a map is the mean over; 0 where no noise is drawn."""
        has_draws = self.task.has_classes and noise.has_gaussian(self.process)
        return self.config.eval.num_noise_draws if has_draws else 0

    @property
    def task(self) -> Task:
        """What is predicted from what."""
        return self.problem.task

    def protocol(self, split: str) -> str:
        """Say in a line what a score on this split was measured on."""
        describe = self.dataset.protocol if self.task.has_classes else self.dataset.describe
        return describe(split)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What training and evaluation share.

    Attributes:
        config: what it was made from, with what follows from the data filled in.
        model: the network.
        objectives: one a task, by its name.
        mesh: the devices.
    """

    config: ConfigDict
    model: Noise2Map
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
        config: what is asked for.
        trained: what an earlier part of the same run was made from; its scaling is kept.

    Raises:
        UserError: naming the first field that is wrong.
    """
    if not 0 <= config.seed < 2**32:  # of which a random key is made
        raise UserError(f"seed is {config.seed}; expected 0 or more and less than 2**32")
    if config.eval.num_noise_draws < 1:
        raise UserError(
            f"eval.num_noise_draws is {config.eval.num_noise_draws}; expected 1 or more"
        )
    datasets = {name: _open_dataset(view) for name, view in task_configs(config).items()}
    config = resolve_scaling(config, datasets, trained)
    model, mesh = create_model(config), create_mesh(config.mesh.fsdp)
    views = task_configs(config)
    objectives = {
        name: _create_objective(view, datasets[name], model, mesh, task_weight(config, name))
        for name, view in views.items()
    }
    if len({objective.task.has_classes for objective in objectives.values()}) > 1:
        raise UserError(
            f"the tasks {', '.join(objectives)} cannot be trained together: maps are scored by F1, "
            "denoising by its loss, and the best checkpoint would be of neither; pretrain first"
        )
    # Traced, not run: a tile that the network cannot take is named now, not after an epoch.
    abstract_params(model, evaluated_sizes(config))
    return Experiment(config, model, objectives, mesh)


def _open_dataset(config: ConfigDict) -> Dataset:
    dataset = open_dataset(config.data.dataset, config.data.data_dir)
    fields = {name: config.data[name] for name in DATA_FIELDS}
    check_dataset(dataset, task=config.task, **fields)
    return dataset


def _create_objective(
    config: ConfigDict, dataset: Dataset, model: Noise2Map, mesh: Mesh, weight: float
) -> Objective:
    problem = create_problem(config, model, class_weights(config, dataset), weight)
    if not problem.task.has_classes:
        check_sampling(config)
    return Objective(config, dataset, problem, replicate(create_process(config), mesh))


def check_sampling(config: ConfigDict) -> None:
    """Refuse numbers of samples and of their steps that cannot be."""
    samples, steps = config.eval.num_samples, config.eval.num_sampling_steps
    total = config.noise.num_train_timesteps
    if samples < 0 or not 0 < steps <= total:
        raise UserError(
            f"eval.num_samples is {samples} and num_sampling_steps {steps}; expected 0 or more "
            f"samples in 1 to T = {total} steps"
        )


def num_train_steps(config: ConfigDict, num_records: int) -> int:
    """Length of a training run in steps, for a training split of `num_records`."""
    if config.train.num_steps > 0:
        return config.train.num_steps
    return max(1, math.ceil(config.train.num_epochs * num_records / config.train.batch_size))
