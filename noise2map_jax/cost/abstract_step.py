"""The training step of a config with shapes in place of arrays, to compile it without data."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.devices import sharding
from noise2map_jax.devices.checkpoint import abstract_like
from noise2map_jax.devices.execution import Execution
from noise2map_jax.experiment.components import (
    class_weights,
    create_problem,
    create_process,
)
from noise2map_jax.experiment.experiment import shortened_warmup
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.task_configs import task_configs, task_weight
from noise2map_jax.steps import optimizer
from noise2map_jax.steps.step_functions import step_and_init, writes_microbatches_out

ANY_LENGTH = 2  # steps after the warm-up; a run's length does not change what is compiled


@dataclasses.dataclass(frozen=True)
class AbstractStep:
    """A step that can be lowered and compiled for devices that this machine need not have.

    Attributes:
        step: the jitted training step; see `step_functions`.
        arguments: arguments of the step, as `jax.ShapeDtypeStruct` with shardings.
        num_loops: number of passes of its loop over micro-batches; 1 = there is no loop.
    """

    step: jax.stages.Wrapped
    arguments: tuple[Any, ...]
    num_loops: int

    @property
    def state(self) -> Any:
        """Shapes of the training state."""
        return self.arguments[0]


def create_abstract_step(config: ConfigDict, mesh: Mesh) -> AbstractStep:
    """Make the step that `--mode=train` runs for this config on these devices.

    Class weights and scaling that training would read from the data are constants of the compiled
    step; placeholders replace them here.

    Args:
        config: an experiment.
        mesh: the devices.

    Raises:
        UserError: a field is wrong, or the batch cannot be divided.
    """
    config = _without_manifest(config)
    options, model = config.train, create_model(config)
    sharding.check_batch_size(
        options.batch_size, mesh.size, num_microbatches=options.num_microbatches
    )
    views, execution = task_configs(config), Execution(mesh)
    problems = {
        name: create_problem(view, model, class_weights(view, None), task_weight(config, name))
        for name, view in views.items()
    }
    steps = options.num_steps or options.warmup_steps + ANY_LENGTH
    rate = optimizer.learning_rate_schedule(
        options.learning_rate,
        steps,
        warmup_steps=shortened_warmup(options.warmup_steps, steps),
        cosine=options.cosine,
    )
    step, init = execution.jit(*step_and_init(config, model, problems, rate, mesh))
    key = jax.eval_shape(jax.random.key, 0)
    state = jax.eval_shape(init, key)
    batches = {}
    for name, view in views.items():
        side, data, task = view.data.tile_size, view.data, problems[name].task
        arrays = dict.fromkeys(task.image_keys, (data.num_bands, np.dtype(data.dtype)))
        arrays["mask"] = 1, np.dtype("uint8")
        batches[name] = {
            key: jax.ShapeDtypeStruct((options.batch_size, side, side, bands), dtype)
            for key, (bands, dtype) in arrays.items()
        }
    processes = {name: create_process(view) for name, view in views.items()}
    return AbstractStep(
        step,
        (
            abstract_like(state, execution.state_sharding(state)),
            abstract_like(batches, sharding.batch_sharding(mesh)),
            abstract_like(processes, sharding.replicated(mesh)),
            abstract_like(key, sharding.replicated(mesh)),
        ),
        1 if writes_microbatches_out(mesh) else options.num_microbatches,
    )


def _without_manifest(config: ConfigDict) -> ConfigDict:
    """Fill in a placeholder range for every band whose range the manifest would give."""
    config = config.copy_and_resolve_references()
    for name, view in task_configs(config).items():
        if view.data.scaling == "manifest" and not view.data.band_ranges:
            data = config.tasks[name].data if config.tasks else config.data
            data.band_ranges = ((0.0, 1.0),) * data.num_bands
    return config
