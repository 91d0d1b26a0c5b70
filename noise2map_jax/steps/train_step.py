"""The training step: a pure function; `Execution.jit` compiles it.

noise -> network -> loss -> gradient -> update

All random numbers follow from the root key, the step and the task. They are drawn for the whole
batch before it is cut into micro-batches or spread over devices, so a row gets the same numbers
however the batch is divided. Tasks share the backbone; each has its own batch and loss, and their
gradients add up.
"""

import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from noise2map_jax.experiment.problem import Batch, Problem, gaussian_noise
from noise2map_jax.method.augment import augment_geometry
from noise2map_jax.method.light import vary_light
from noise2map_jax.method.losses import IGNORE, WeightedSum
from noise2map_jax.method.noise import NoiseProcess, sample_timesteps
from noise2map_jax.network.statistics import with_statistics
from noise2map_jax.networks.training import Training
from noise2map_jax.steps.optimizer import keep_frozen, skipped_updates, trainable
from noise2map_jax.steps.train_state import TrainState, update_ema

# Noised inputs, timesteps, targets and seeds of one task, all with the rows of a batch.
Inputs = tuple[jax.Array, jax.Array, Any, jax.Array]
# (params, inputs by task, processes by task) -> by task, loss and gradient as sums, and the running
# statistics of the network, None if it has none.
Gradients = Callable[..., dict[str, tuple[WeightedSum, Any, Any]]]


class Stream(enum.IntEnum):
    """Independent streams of random numbers within a step."""

    GEOMETRY = 0
    LIGHT = 1
    TIMESTEPS = 2
    GAUSSIAN = 3
    NETWORK = 4


def train_step(
    state: TrainState,
    batches: Mapping[str, Batch],
    processes: Mapping[str, NoiseProcess],
    key: jax.Array,
    *,
    problems: Mapping[str, Problem],
    tx: optax.GradientTransformation,
    backbone_learning_rate_factor: float = 1.0,
    num_microbatches: int = 1,
    unroll_microbatches: bool = False,
    ema_decay: float = 0.0,
    max_skipped_updates: int = 0,
    spread: Callable[[Gradients], Gradients] = lambda gradients: gradients,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Do one update.

    Args:
        state: the state before the update.
        batches: by task, arrays [B, S, S, *] as stored: the task's images and `mask`.
        processes: noise process of each task. They are arguments, so another process needs no new
            compilation.
        key: the root key of the run, the same at every step.
        problems: static part of each task.
        tx: the optimiser; its state is in `state`.
        backbone_learning_rate_factor: the factor that the optimiser was created with; 0 = the
            backbone is frozen.
        num_microbatches: number of parts of the batch that the gradient is accumulated over.
            Numerators and denominators of the loss are added up and divided once, so the result is
            that of the whole batch, except for rounding in the order of sums.
        unroll_microbatches: unroll the loop over parts. XLA's CPU convolutions are many times
            slower inside loops; on accelerators the loop compiles faster.
        ema_decay: decay of the averaged parameters, where the state holds them.
        max_skipped_updates: the number that the optimiser was created with.
        spread: makes the computation of gradients run over several devices, see `data_parallel`.

    Returns:
        The state after the update, and metrics: `loss` (the weighted sum over tasks), `loss/<task>`
        if there are several tasks, `gradient_norm` (of trained parameters) and `params_norm` (of
        the new parameters), [] float32; if updates can be skipped, also `skipped` [] bool and
        `num_skipped` [] int32, see `optimizer.Skipped`.
    """
    step_key = jax.random.fold_in(key, state.step)
    with jax.named_scope("inputs"):
        inputs = {
            name: network_inputs(
                batches[name],
                processes[name],
                jax.random.fold_in(step_key, problem.task.stream),
                problem=problem,
            )
            for name, problem in problems.items()
        }
    gradients_of = functools.partial(
        gradient_sums,
        problems=problems,
        backbone_learning_rate_factor=backbone_learning_rate_factor,
        num_microbatches=num_microbatches,
        unroll=unroll_microbatches,
    )
    losses, gradient = {}, None
    results = spread(gradients_of)(state.params, inputs, processes)
    for name, (loss, part, _) in results.items():
        # A batch of ignored pixels alone has weight 0: its loss and gradient are 0, not NaN.
        weight = jnp.where(loss.weight > 0, loss.weight, 1.0)
        losses[name] = loss.total / weight
        factor = problems[name].weight / weight
        part = jax.tree.map(lambda g, factor=factor: factor * g, part)
        gradient = part if gradient is None else jax.tree.map(jnp.add, gradient, part)
    assert gradient is not None
    *_, (_, _, statistics) = results.values()  # a network that has any has one task

    with jax.named_scope("optimizer"):
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = keep_frozen(
            optax.apply_updates(state.params, updates), state.params, backbone_learning_rate_factor
        )
    params = with_statistics(params, statistics)
    ema_params = state.ema_params
    if ema_params is not None:
        with jax.named_scope("averages"):
            new_ema = update_ema(ema_params, params, state.step, ema_decay)
            ema_params = keep_frozen(new_ema, ema_params, backbone_learning_rate_factor)
    left_out = {}
    if max_skipped_updates:
        skipped = skipped_updates(opt_state, max_skipped_updates)
        left_out = {"skipped": skipped.last, "num_skipped": skipped.total}
        keep = functools.partial(jnp.where, skipped.last)
        ema_params = jax.tree.map(keep, state.ema_params, ema_params)
        if statistics is not None:
            params = jax.tree.map(keep, state.params, params)
    new_state = state.replace(
        step=state.step + 1, params=params, opt_state=opt_state, ema_params=ema_params
    )
    metrics = {
        "loss": sum(problems[name].weight * loss for name, loss in losses.items()),
        **({f"loss/{name}": loss for name, loss in losses.items()} if len(losses) > 1 else {}),
        "gradient_norm": optax.tree.norm(gradient),
        "params_norm": optax.tree.norm(params),  # not finite if any parameter is not
        **left_out,
    }
    return new_state, metrics


def network_inputs(
    batch: Batch, process: NoiseProcess, step_key: jax.Array, *, problem: Problem
) -> Inputs:
    """Make the network's inputs and targets from a batch: augment, scale, draw noise, mix.

    Args:
        batch: arrays [B, S, S, *] as stored.
        process: the noise process.
        step_key: random key of this step and task.
        problem: the static part.

    Returns:
        Noised inputs, timesteps and targets, [B, ...] each, and [B] uint32 seeds of what the
        network draws.
    """
    keys = {stream: jax.random.fold_in(step_key, stream) for stream in Stream}
    augmentation = problem.augmentation
    batch = augment_geometry(augmentation, keys[Stream.GEOMETRY], dict(batch))
    batch = problem.scaled(batch)
    has_data = batch["mask"] != IGNORE
    for i, name in enumerate(problem.task.image_keys):
        light_key = jax.random.fold_in(keys[Stream.LIGHT], i)
        batch[name] = vary_light(augmentation, light_key, batch[name], has_data)
    x = problem.task.inputs(batch)
    timesteps = sample_timesteps(process, keys[Stream.TIMESTEPS], x.shape[0])
    eps = gaussian_noise(process, keys[Stream.GAUSSIAN], x)
    noised = problem.noised(process, x, eps, timesteps)
    seeds = jax.random.bits(keys[Stream.NETWORK], x.shape[:1])
    return noised.x_t, timesteps, problem.task.targets(batch, noised), seeds


def gradient_sums(
    params: Any,
    inputs: Mapping[str, Inputs],
    processes: Mapping[str, NoiseProcess],
    *,
    problems: Mapping[str, Problem],
    backbone_learning_rate_factor: float,
    num_microbatches: int,
    unroll: bool,
    axes: tuple[str, ...] = (),
) -> dict[str, tuple[WeightedSum, Any, Any]]:
    """Compute each task's loss as a weighted sum, and the gradient of its numerator.

    Args:
        params: the network's parameters.
        inputs: by task, from `network_inputs`; with several devices, the rows of this device.
        processes: the noise process that made the inputs, by task.
        problems: static part of each task.
        backbone_learning_rate_factor: see `train_step`.
        num_microbatches: see `train_step`.
        unroll: see `unroll_microbatches` of `train_step`.
        axes: names of the mesh axes that the rows lie on; () = all are here.

    Returns:
        By task, the loss and its gradient, a tree like `params`: the sum of these over devices is
        the result for the whole batch. Also the network's running statistics, which are those of
        the whole batch on each device.
    """
    sums = {}
    for name, problem in problems.items():
        loss, gradient, statistics = _accumulate(
            functools.partial(_loss_sum, problem, processes[name], axes),
            params,
            _split(inputs[name], num_microbatches),
            unroll=unroll,
        )
        # Frozen parameters are dropped here, before devices exchange gradients.
        sums[name] = loss, trainable(gradient, backbone_learning_rate_factor), statistics
    return sums


def _loss_sum(
    problem: Problem, process: NoiseProcess, axes: tuple[str, ...], params: Any, part: Inputs
) -> tuple[WeightedSum, Any]:
    x_t, timesteps, targets, seeds = part
    training = Training(jax.vmap(jax.random.key)(seeds), axes, problem.frozen_statistics)
    outputs, statistics = problem.apply_in_training(process, params, x_t, timesteps, training)
    with jax.named_scope("loss"):
        loss = problem.task.loss(outputs, targets, jnp.asarray(problem.class_weights, jnp.float32))
    return loss, statistics


def _split(parts: Inputs, num: int) -> Inputs:
    """Cut [B, ...] into [num, B / num, ...].

    Micro-batch i takes rows i, i + num, ...: these are the same rows of a batch whether one device
    cuts the whole batch or each of several devices cuts its own rows.
    """
    return jax.tree.map(
        lambda a: jnp.swapaxes(a.reshape(a.shape[0] // num, num, *a.shape[1:]), 0, 1), parts
    )


def _accumulate(
    loss_sum: Any, params: Any, parts: Inputs, *, unroll: bool
) -> tuple[WeightedSum, Any, Any]:
    """Add up losses and gradients of the numerators over the leading axis of `parts`.

    Gradients summed over several parts are float32, whatever the type of the parameters. Statistics
    of several parts are None: those of the whole batch are not known.
    """
    num = jax.tree.leaves(parts)[0].shape[0]

    def part_of(i: int) -> Inputs:
        return jax.tree.map(lambda a: a[i], parts)

    def value_and_grad(part: Inputs) -> tuple[WeightedSum, Any, Any]:
        def total(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            loss, statistics = loss_sum(params, part)
            return loss.total, (loss.weight, None if num > 1 else statistics)

        (loss_total, (weight, statistics)), gradient = jax.value_and_grad(total, has_aux=True)(
            params
        )
        if num > 1:
            gradient = jax.tree.map(lambda g: g.astype(jnp.float32), gradient)
        return WeightedSum(loss_total, weight), gradient, statistics

    if num == 1 or unroll:
        results = [value_and_grad(part_of(i)) for i in range(num)]
        return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *results)
    zeros = jax.tree.map(
        lambda s: jnp.zeros(s.shape, s.dtype),
        jax.eval_shape(value_and_grad, part_of(0)),
    )
    return jax.lax.scan(
        lambda carry, part: (jax.tree.map(jnp.add, carry, value_and_grad(part)), None), zeros, parts
    )[0]
