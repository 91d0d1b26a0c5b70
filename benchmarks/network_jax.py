"""JAX's side of the benchmark `network`: the forward pass, the training step."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import machine
from benchmarks.backbones import Case, backbone_config
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.method import noise, schedules
from noise2map_jax.method.augment import Augmentation
from noise2map_jax.method.tasks import TASKS
from noise2map_jax.network.interface import Head, init_params
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.steps.train_state import create_train_state
from noise2map_jax.steps.train_step import train_step


def measure(case: Case, kind: str) -> dict[str, Any]:
    """Time the forward pass or the training step.

    Args:
        case: what to measure.
        kind: `forward` or `train`.

    Returns:
        Seconds to compile, seconds a call, FLOP a call as XLA counts them, peak memory in GiB; or
        `error` if the batch does not fit into memory.
    """
    try:
        return _measure(case, kind)
    except jax.errors.JaxRuntimeError as error:
        return {"error": str(error).splitlines()[0][:200]}


def _measure(case: Case, kind: str) -> dict[str, Any]:
    model = Noise2Map(
        unet=backbone_config(case.backbone),
        heads=(Head("ss", 3, 2),),
        dtype=jnp.dtype(case.dtype),
    )
    problem = Problem(model, TASKS["ss"], (0.0, 255.0), (1.0, 5.0), Augmentation())
    process = noise.create_noise_process(schedules.linear(1000), image=1.0)
    start = time.perf_counter()
    compiled, call = (_train if kind == "train" else _forward)(case, problem, process)
    compile_seconds = time.perf_counter() - start
    return {
        "compile_seconds": compile_seconds,
        "seconds": machine.time_calls(call, case.repeats),
        "flop": compiled.cost_analysis()["flops"],
        "peak_memory_gib": machine.peak_memory() / 2**30,
    }


def _forward(case: Case, problem: Problem, process: Any) -> tuple[Any, Callable[[], None]]:
    params = jax.jit(lambda k: init_params(problem.model, k, case.tile_size))(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (case.batch_size, case.tile_size, case.tile_size, 3))
    timesteps = jnp.full(case.batch_size, 999, jnp.int32)
    forward = functools.partial(problem.apply, process)
    options = compiler_options(jax.local_devices())
    compiled = jax.jit(forward, compiler_options=options).lower(params, x, timesteps).compile()
    return compiled, lambda: compiled(params, x, timesteps).block_until_ready()


def _train(case: Case, problem: Problem, process: Any) -> tuple[Any, Callable[[], None]]:
    size, tx, key = case.tile_size, optax.adam(1e-4), jax.random.key(0)

    def init(key: jax.Array) -> Any:
        return create_train_state(init_params(problem.model, key, size), tx, use_ema=False)

    rng = np.random.default_rng(0)
    shape = (case.batch_size, size, size)
    batches = {
        "ss": {
            "image": jnp.asarray(rng.integers(0, 256, (*shape, 3), np.uint8)),
            "mask": jnp.asarray(rng.integers(0, 2, (*shape, 1), np.uint8)),
        }
    }
    step = functools.partial(train_step, problems={"ss": problem}, tx=tx)
    state, processes = jax.jit(init)(key), {"ss": process}
    options = compiler_options(jax.local_devices())
    step = jax.jit(step, donate_argnums=0, compiler_options=options)
    compiled = step.lower(state, batches, processes, key).compile()
    holder = {"state": state}

    def call() -> None:
        holder["state"], metrics = compiled(holder["state"], batches, processes, key)
        metrics["loss"].block_until_ready()

    return compiled, call
