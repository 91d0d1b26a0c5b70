"""Runs that are finished without training: a config and random parameters."""

import contextlib

import jax
import numpy as np

from noise2map_jax.devices import checkpoint
from noise2map_jax.experiment.components import trained_sizes
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.run_config import save_config
from noise2map_jax.network.interface import init_params


def random_params(model, sizes, seed=7, deviation=0.1):
    """Every parameter away from its initial value, so that no term is hidden by a zero."""
    shapes = jax.eval_shape(lambda key: init_params(model, key, sizes), jax.random.key(0))
    rng = np.random.default_rng(seed)  # drawing them with the model compiles for long
    return jax.tree.map(lambda s: deviation * rng.standard_normal(s.shape, np.float32), shapes)


def finish(workdir, config, step=7):
    """Make a run of random parameters."""
    model = create_model(config)
    params = random_params(model, trained_sizes(config), step)
    save_config(config, workdir)
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        checkpoints.save_best(step, params, 0.5)
    return model, params
