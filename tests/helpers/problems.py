"""A tiny problem that many tests share."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.experiment.problem import Problem
from noise2map_jax.method import noise, schedules
from noise2map_jax.method.tasks import TASKS
from noise2map_jax.network.interface import Head, init_params
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.network.unet import UNetConfig

UNET = UNetConfig(
    block_out_channels=(8,),
    down_block_types=("DownBlock2D",),
    up_block_types=("UpBlock2D",),
    layers_per_block=1,
    norm_num_groups=4,
    downsample_padding=0,
    add_attention=False,
)
TWO_LEVELS = dataclasses.replace(
    UNET,
    block_out_channels=(8, 16),
    down_block_types=2 * UNET.down_block_types,
    up_block_types=2 * UNET.up_block_types,
)


def tiny_head(task):
    """Return the head of a task for images of three bands and two classes."""
    num_inputs = 3 * len(TASKS[task].image_keys)
    return Head(task, num_inputs, TASKS[task].num_outputs(3, 2))


def tiny_problem(
    task="ss", dtype=jnp.float32, heads=(), matmul_precision="default", unet=UNET, **fields
):
    """Return a problem with a few thousand parameters and tiles of 16 pixels.

    `heads` are those of further tasks.
    """
    names = dict.fromkeys((task, *heads))
    model = Noise2Map(
        unet=unet,
        heads=tuple(map(tiny_head, sorted(names))),
        dtype=dtype,
        matmul_precision=matmul_precision,
    )
    weights = (1.0, 3.0) if TASKS[task].has_classes else ()
    return Problem(model, TASKS[task], (0.0, 255.0), class_weights=weights, **fields)


@functools.cache
def initial_params(model, tile_size=16):
    """Return the values that a network begins with; jitted, as op by op they take a minute."""
    return jax.jit(init_params, static_argnums=(0, 2))(model, jax.random.key(0), tile_size)


@functools.cache
def drawn_params(model, tile_size=16):
    """Return values like those that a network begins with, drawn by NumPy.

    What JAX would compile to draw them takes seconds. Biases are zero and scales are one; kernels
    are normal, of the variance that `init_params` gives.
    """
    shapes = jax.eval_shape(lambda key: init_params(model, key, tile_size), jax.random.key(0))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key != "kernel":
            return jnp.full(leaf.shape, path[-1].key == "scale", leaf.dtype)
        fan_in = math.prod(leaf.shape[:-1])
        return jnp.asarray(rng.normal(size=leaf.shape) / math.sqrt(fan_in), leaf.dtype)

    return jax.tree.map_with_path(draw, shapes)


def tiny_process(task="ss", **options):
    """Return the paper's noise process for a task."""
    mix = {TASKS[task].default_mix: 1.0}
    return noise.create_noise_process(schedules.linear(1000), **(mix | options))


def tiny_batch(task="ss", num=8, seed=0):
    """Return random tiles whose bright pixels are the foreground, a few of them ignored."""
    rng = np.random.default_rng(seed)
    keys = TASKS[task].image_keys
    batch = {key: rng.integers(0, 256, (num, 16, 16, 3)).astype(np.uint8) for key in keys}
    mask = (batch[keys[0]].mean(axis=-1, keepdims=True) > 150).astype(np.uint8)
    mask[:, :2] = 255
    return batch | {"mask": mask}


ONE_DRAW = np.zeros(1, np.int32)


def tiny_tiles(task="ss", num=8, seed=0):
    """Return a batch as in evaluation: all rows count, and each is of another scene."""
    return tiny_batch(task, num, seed) | {
        "valid": np.ones(num, bool),
        "scene": np.arange(num, dtype=np.uint32),
        "row": np.zeros(num, np.int32),
        "column": np.zeros(num, np.int32),
    }
