"""JAX's side of the benchmark `network`: the forward pass, the training step."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from benchmarks.cases import Case
from noise2map_jax.cost.arithmetic import count_flops
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.network.interface import find_head, init_params
from noise2map_jax.network.statistics import STATISTICS
from noise2map_jax.steps.step_functions import step_and_init


def measure(case: Case, kind: str) -> dict[str, Any]:
    """Time the forward pass or the training step.

    Args:
        case: what to measure.
        kind: `forward` or `train`.

    Returns:
        Seconds to compile, seconds a call, FLOP a call (`cost/arithmetic.py`), memory that the call
        needs and the peak so far in GiB, number of parameters without running statistics; or
        `error` if the batch does not fit into memory.
    """
    try:
        return _measure(case, kind)
    except jax.errors.JaxRuntimeError as error:
        return {"error": str(error).splitlines()[0][:200]}


def _measure(case: Case, kind: str) -> dict[str, Any]:
    start = time.perf_counter()
    compiled, params, flop, call = (_train if kind == "train" else _forward)(case)
    compile_seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    new = max(0, memory.output_size_in_bytes - memory.alias_size_in_bytes)
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes + new
    weights = {name: value for name, value in params.items() if name != STATISTICS}
    return {
        "compile_seconds": compile_seconds,
        "seconds": machine.time_calls(call, case.repeats),
        "flop": flop,
        "needed_memory_gib": needed / 2**30,
        "peak_memory_gib": machine.peak_memory() / 2**30,
        "parameters": sum(x.size for x in jax.tree.leaves(weights)),
    }


def _forward(case: Case) -> tuple[Any, Any, float, Callable[[], None]]:
    problem, process = case.problem()
    init = jax.jit(lambda key: init_params(problem.model, key, case.tile_size))
    params = init(jax.random.key(0))
    bands = find_head(problem.model, case.task).num_inputs
    shape = (case.batch_size, case.tile_size, case.tile_size, bands)
    x = jax.random.normal(jax.random.key(1), shape)
    timesteps = jnp.full(case.batch_size, 999, jnp.int32)
    forward = functools.partial(problem.apply, process)
    options = compiler_options(jax.local_devices())
    compiled = jax.jit(forward, compiler_options=options).lower(params, x, timesteps).compile()
    flop = count_flops(forward, params, x, timesteps)
    return compiled, params, flop, lambda: compiled(params, x, timesteps).block_until_ready()


def _train(case: Case) -> tuple[Any, Any, float, Callable[[], None]]:
    problem, process = case.problem()
    mesh, key = create_mesh(devices=jax.local_devices()[:1]), jax.random.key(0)
    problems, processes = {case.task: problem}, {case.task: process}
    step, init = step_and_init(
        case.config(), problem.model, problems, lambda _: jnp.float32(1e-4), mesh
    )
    rng = np.random.default_rng(0)
    shape = (case.batch_size, case.tile_size, case.tile_size)
    arrays = {
        name: jnp.asarray(rng.integers(0, 256, (*shape, 3), np.uint8))
        for name in problem.task.image_keys
    }
    batches = {case.task: arrays | {"mask": jnp.asarray(rng.integers(0, 2, (*shape, 1), np.uint8))}}
    options = compiler_options(jax.local_devices())
    state = jax.jit(init)(key)
    flop = count_flops(step, state, batches, processes, key)
    step = jax.jit(step, donate_argnums=0, compiler_options=options)
    compiled = step.lower(state, batches, processes, key).compile()
    params = jax.eval_shape(init, key).params
    holder = {"state": state}

    def call() -> None:
        holder["state"], metrics = compiled(holder["state"], batches, processes, key)
        metrics["loss"].block_until_ready()

    return compiled, params, flop, call
