"""The training step and the first state of a network, made from a config as pure functions."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.devices import sharding
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import abstract_params, trained_sizes
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.network.interface import Network, init_params
from noise2map_jax.network.statistics import STATISTICS
from noise2map_jax.steps import optimizer
from noise2map_jax.steps.data_parallel import data_parallel
from noise2map_jax.steps.train_state import TrainState, create_train_state
from noise2map_jax.steps.train_step import train_step


def writes_microbatches_out(mesh: Mesh) -> bool:
    """Whether steps for these devices unroll micro-batches instead of looping over them."""
    return mesh.devices.flat[0].platform == "cpu"


def _measures_statistics(config: ConfigDict, model: Network) -> bool:
    """Whether training measures the statistics of batches."""
    params = abstract_params(model, trained_sizes(config))
    return STATISTICS in params and not config.train.frozen_statistics


def step_and_init(
    config: ConfigDict,
    model: Network,
    problems: Mapping[str, Problem],
    learning_rate: Callable[[Any], Any],
    mesh: Mesh,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Make the training step and the first state of one network, as pure functions.

    Args:
        config: the experiment.
        model: the network that the config describes.
        problems: static part of a step, by task.
        learning_rate: step -> learning rate.
        mesh: the devices to compile for; they need not be attached to this machine.

    Returns:
        `step(state, batches, processes, root_key) -> (state, metrics)` and
        `init(root_key) -> state`.
    """
    options = config.train
    tx = optimizer.create_optimizer(
        options.optimizer,
        learning_rate,
        weight_decay=options.weight_decay,
        max_gradient_norm=options.max_gradient_norm,
        backbone_learning_rate_factor=options.backbone_learning_rate_factor,
        max_skipped_updates=options.max_skipped_updates,
        skip_above_gradient_norm=options.skip_above_gradient_norm,
    )
    heads = model.heads
    if options.backbone_learning_rate_factor == 0 and not any(head.projected for head in heads):
        raise UserError(
            "train.backbone_learning_rate_factor is 0, but this network is its backbone alone: "
            "nothing would be trained"
        )
    if options.num_microbatches > 1 and _measures_statistics(config, model):
        raise UserError(
            f"train.num_microbatches is {options.num_microbatches}, but batch normalisation needs"
            " the statistics of the whole batch at once: set it to 1, or"
            " train.frozen_statistics=True"
        )
    if not 0 <= options.ema_decay < 1:
        raise UserError(f"train.ema_decay is {options.ema_decay}; expected 0 <= decay < 1")
    if not 0 <= options.initial_share < 1:
        raise UserError(f"train.initial_share is {options.initial_share}; expected 0 <= share < 1")

    def init(key: jax.Array) -> TrainState:
        init_key = jax.random.fold_in(key, 2**31 - 1)  # a number that no step reaches
        params = init_params(model, init_key, trained_sizes(config))
        return create_train_state(
            params, tx, use_ema=options.ema_decay > 0, keep_initial=options.initial_share > 0
        )

    step = functools.partial(
        train_step,
        problems=problems,
        tx=tx,
        backbone_learning_rate_factor=options.backbone_learning_rate_factor,
        num_microbatches=options.num_microbatches,
        unroll_microbatches=writes_microbatches_out(mesh),
        ema_decay=options.ema_decay,
        max_skipped_updates=options.max_skipped_updates,
    )
    if mesh.size > 1 and mesh.axis_names == sharding.AXES:  # False for several networks a call
        step = functools.partial(
            step, spread=functools.partial(data_parallel, mesh=mesh, dtype=model.dtype)
        )
    return step, init
