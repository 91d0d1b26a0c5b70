"""One network of a study, compiled to be measured: its speed turn by turn, and what it needs."""

import functools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from noise2map_jax.devices.execution import create_execution
from noise2map_jax.devices.sharding import replicate
from noise2map_jax.evaluation.evaluator import SplitReader, jit_eval_step
from noise2map_jax.experiment.components import (
    abstract_params,
    count_params,
    evaluated_sizes,
    trained_sizes,
)
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.method.noise import noise_draws
from noise2map_jax.network.interface import find_head
from noise2map_jax.network.statistics import STATISTICS
from noise2map_jax.page.network_costs import NetworkCost, Rate
from noise2map_jax.study.study import SPLIT, Member
from noise2map_jax.training.trainer import Trainer

SECONDS = 0.5  # that a measurement takes at least, where calls are shorter


class MeasuredNetwork:
    """The compiled steps of one network, and how fast they were in each turn."""

    def __init__(self, member: Member):
        """Compile the training step and the evaluation step of a member, and read its batches."""
        experiment, objective = member.run.experiment, member.objective
        config, mesh = experiment.config, experiment.mesh
        runs = [member.run]
        trainer = Trainer(experiment, create_execution("dispatch", 1, config.mesh.fsdp))
        execution = trainer.execution
        keys, processes = trainer.root_keys(runs), trainer.processes(runs)
        batch = execution.put_batches(next(trainer.batches(runs, 0)))
        shapes = jax.eval_shape(trainer.init, keys)
        self._first_state = functools.partial(trainer.init, keys)
        self._train = trainer.step.lower(shapes, batch, processes, keys).compile()
        self._train_arguments = batch, processes, keys
        self._params = functools.partial(execution.member, index=0)
        rows = next(SplitReader(objective, mesh, SPLIT).batches())
        process = objective.process
        draws = replicate(noise_draws(process, config.eval.num_noise_draws), mesh)
        self._eval = jit_eval_step(objective.problem, mesh)
        self._eval_arguments = rows, process, draws
        self._passes = len(process.inference_timesteps) * len(draws)
        self._member = member
        self._calls: dict[str, int] = {}
        self._rates: dict[str, list[float]] = {"training": [], "prediction": []}

    def take_turn(self) -> None:
        """Measure both steps once; the first turn only finds how many calls a measurement needs.

        The state is made anew in every turn, so that only one network's lies on the device.
        """
        options = self._member.run.experiment.config
        state = jax.block_until_ready(self._first_state())

        def train() -> Any:
            nonlocal state
            state, metrics = self._train(state, *self._train_arguments)
            return metrics, state.step

        self._time("training", options.train.batch_size, train)
        params = jax.block_until_ready(self._params(state.eval_params))
        del state
        evaluate = functools.partial(self._eval, params, *self._eval_arguments)
        self._time("prediction", options.eval.batch_size, evaluate)

    def _time(self, kind: str, num_images: int, call: Callable[[], Any]) -> None:
        calls = self._calls.get(kind, 1)
        # Compiles; later, brings back what other networks pushed out, which only short calls feel.
        if kind not in self._calls or calls > 1:
            jax.block_until_ready(call())
        start = time.perf_counter()
        for _ in range(calls):
            last = call()
        jax.block_until_ready(last)
        seconds = time.perf_counter() - start
        if kind in self._calls:
            self._rates[kind].append(calls * num_images / seconds)
        else:
            self._calls[kind] = max(1, math.ceil(SECONDS / seconds))

    def cost(self) -> NetworkCost:
        """Sum up what was measured, and count what need not be."""
        objective, config = self._member.objective, self._member.run.experiment.config
        training, prediction = (
            Rate(statistics.median(rates), min(rates), max(rates)) for rates in self._rates.values()
        )
        memory = self._train.memory_analysis()
        assert memory is not None  # every supported backend has it
        new = max(0, memory.output_size_in_bytes - memory.alias_size_in_bytes)
        params = abstract_params(objective.problem.model, trained_sizes(config))
        (train_size,), (size,) = (
            sizes(config).values() for sizes in (trained_sizes, evaluated_sizes)
        )
        return NetworkCost(
            variant=self._member.variant.name,
            parameters=count_params({k: v for k, v in params.items() if k != STATISTICS}),
            flops=forward_flops(objective, params, size),
            image_size=size,
            training=training,
            train_batch=config.train.batch_size,
            train_size=train_size,
            prediction=prediction,
            predict_batch=config.eval.batch_size,
            passes=self._passes,
            train_memory=memory.argument_size_in_bytes + memory.temp_size_in_bytes + new,
        )


def forward_flops(objective: Objective, params: Any, size: int) -> float:
    """Count the arithmetic of a forward pass of one image in the program before it is compiled.

    Args:
        objective: the network and its task.
        params: the parameters, or their shapes.
        size: side of the image in pixels.
    """
    problem = objective.problem
    num_inputs = find_head(problem.model, problem.task.name).num_inputs
    x = jax.ShapeDtypeStruct((1, size, size, num_inputs), jnp.float32)
    timesteps = jax.ShapeDtypeStruct((1,), jnp.int32)
    lowered = jax.jit(problem.apply).lower(objective.process, params, x, timesteps)
    analysis = lowered.cost_analysis()
    assert analysis is not None
    return float(analysis["flops"])
