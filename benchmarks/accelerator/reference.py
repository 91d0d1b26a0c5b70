"""The CPU beside the accelerator: it tells what is right, and counts arithmetic."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from noise2map_jax.cost.arithmetic import count_flops, lowered_flops
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.network.interface import Network, find_head, init_params


def flop_per_image(case: Case, kind: str) -> float:
    """Count the arithmetic of one image, a multiply-add as 2, before the program is compiled.

    XLA counts it for CPUs alone, so the program is lowered for one; the same number is taken for
    every batch size and type, and for PyTorch.

    Args:
        case: one image.
        kind: `forward`, or `train`: backward pass and optimiser, too.
    """
    assert case.batch_size == 1
    if kind == "train":
        return lowered_flops(case.config(), create_mesh(1, jax.local_devices()[:1]))
    problem, process = case.problem()
    side, model = case.tile_size, problem.model
    params = jax.eval_shape(lambda key: init_params(model, key, side), jax.random.key(0))
    bands = find_head(model, case.task).num_inputs
    x = jax.ShapeDtypeStruct((1, side, side, bands), jnp.float32)
    timesteps = jax.ShapeDtypeStruct((1,), jnp.int32)
    return count_flops(problem.apply, process, params, x, timesteps)


def random_params(model: Network, side: int) -> Any:
    """Draw parameters of the size that keeps activations near 1; none is 0.

    NumPy draws them: compiling what a model draws its own with takes a device minutes.

    Args:
        model: the network.
        side: of the images that it takes, in pixels.

    Returns:
        The tree of float32 arrays, always the same.
    """
    shapes = jax.eval_shape(lambda key: init_params(model, key, side), jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree_util.tree_map_with_path(lambda path, leaf: _drawn(rng, path, leaf), shapes)


def _drawn(rng: np.random.Generator, path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    values = rng.standard_normal(leaf.shape, np.float32)
    if leaf.ndim > 1:
        return values / np.float32(np.sqrt(np.prod(leaf.shape[:-1])))
    return np.float32(path[-1].key == "scale") + np.float32(0.1) * values
