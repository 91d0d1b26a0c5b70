"""The training step: a pure function, jitted by the program that trains.

noise -> network -> loss -> gradient -> update

Everything random follows from the root key, the step and the task, and is drawn for the whole
batch before it is cut into micro-batches or spread over devices: a row meets the same numbers
however that is done. Tasks that share the backbone each add the gradient of their own loss, on
their own batch.
"""

import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from noise2map_jax.experiment.problem import Batch, Problem, gaussian_noise
from noise2map_jax.method.augment import augment_geometry, jitter
from noise2map_jax.method.losses import IGNORE, WeightedSum
from noise2map_jax.method.noise import NoiseProcess, sample_timesteps
from noise2map_jax.steps.optimizer import keep_frozen, skipped_updates, trainable
from noise2map_jax.steps.train_state import TrainState, update_ema

# What one task's network is given: noised inputs, timesteps, and targets; rows of a batch each.
Inputs = tuple[jax.Array, jax.Array, Any]
# (params, inputs by task, processes by task) -> by task, its loss and its gradient as sums.
Gradients = Callable[..., dict[str, tuple[WeightedSum, Any]]]


class Stream(enum.IntEnum):
    """Independent streams of random numbers within a step."""

    GEOMETRY = 0
    JITTER = 1
    TIMESTEPS = 2
    GAUSSIAN = 3


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
        state: before the update.
        batches: by task, arrays [B, S, S, *] as stored: the task's images and `mask`.
        processes: by task, how inputs are noised; arguments, so no process is ever compiled anew.
        key: the root key of the run, the same at every step.
        problems: by task, the static part.
        tx: the optimiser; its state is in `state`.
        backbone_learning_rate_factor: as the optimiser was made with; 0 = the backbone is frozen.
        num_microbatches: the gradient is accumulated over this many parts of the batch:
            numerators and denominators of the loss are added up and divided once, so that it is
            that of the whole batch but for the rounding of sums in another order.
        unroll_microbatches: write the parts out instead of looping. XLA's CPU convolutions are
            many times slower inside loops; on accelerators the loop compiles faster.
        ema_decay: decay of the averaged parameters, where the state holds them.
        max_skipped_updates: as the optimiser was made with.
        spread: turns the computation of gradients into one over several devices, see
            `data_parallel`.

    Returns:
        The state after the update, and `loss` (the weighted sum over the tasks), `loss/<task>`
        where there are several, `gradient_norm` (of what is trained), `params_norm` (of the new
        parameters), [] float32; where updates can be left out, `skipped` [] bool and
        `num_skipped` [] int32, see `optimizer.Skipped`.
    """
    step_key = jax.random.fold_in(key, state.step)
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
    for name, (loss, part) in spread(gradients_of)(state.params, inputs, processes).items():
        # A batch in which every pixel is ignored has weight 0: no loss, no gradient, not a NaN.
        weight = jnp.where(loss.weight > 0, loss.weight, 1.0)
        losses[name] = loss.total / weight
        factor = problems[name].weight / weight
        part = jax.tree.map(lambda g, factor=factor: factor * g, part)
        gradient = part if gradient is None else jax.tree.map(jnp.add, gradient, part)
    assert gradient is not None

    updates, opt_state = tx.update(gradient, state.opt_state, state.params)
    params = keep_frozen(
        optax.apply_updates(state.params, updates), state.params, backbone_learning_rate_factor
    )
    ema_params = state.ema_params
    if ema_params is not None:
        new_ema = update_ema(ema_params, params, state.step, ema_decay)
        ema_params = keep_frozen(new_ema, ema_params, backbone_learning_rate_factor)
    left_out = {}
    if max_skipped_updates:
        skipped = skipped_updates(opt_state, max_skipped_updates)
        left_out = {"skipped": skipped.last, "num_skipped": skipped.total}
        keep = functools.partial(jnp.where, skipped.last)
        ema_params = jax.tree.map(keep, state.ema_params, ema_params)
    new_state = TrainState(
        step=state.step + 1, params=params, opt_state=opt_state, ema_params=ema_params
    )
    metrics = {
        "loss": sum(problems[name].weight * loss for name, loss in losses.items()),
        **({f"loss/{name}": loss for name, loss in losses.items()} if len(losses) > 1 else {}),
        "gradient_norm": optax.tree.norm(gradient),
        "params_norm": optax.tree.norm(params),  # not finite as soon as a parameter is not
        **left_out,
    }
    return new_state, metrics


def network_inputs(
    batch: Batch, process: NoiseProcess, step_key: jax.Array, *, problem: Problem
) -> Inputs:
    """Make of a batch what the network is given, and what it is to predict.

    Args:
        batch: arrays [B, S, S, *] as stored.
        process: how inputs are noised.
        step_key: of this step and task.
        problem: the static part.

    Returns:
        Noised inputs, timesteps and targets, [B, ...] each.
    """
    keys = {stream: jax.random.fold_in(step_key, stream) for stream in Stream}
    augmentation = problem.augmentation
    batch = augment_geometry(augmentation, keys[Stream.GEOMETRY], dict(batch))
    batch = problem.scaled(batch)
    has_data = batch["mask"] != IGNORE
    for i, name in enumerate(problem.task.image_keys):
        jitter_key = jax.random.fold_in(keys[Stream.JITTER], i)
        batch[name] = jitter(augmentation, jitter_key, batch[name], has_data)
    x = problem.task.inputs(batch)
    timesteps = sample_timesteps(process, keys[Stream.TIMESTEPS], x.shape[0])
    eps = gaussian_noise(process, keys[Stream.GAUSSIAN], x)
    noised = problem.noised(process, x, eps, timesteps)
    return noised.x_t, timesteps, problem.task.targets(batch, noised)


def gradient_sums(
    params: Any,
    inputs: Mapping[str, Inputs],
    processes: Mapping[str, NoiseProcess],
    *,
    problems: Mapping[str, Problem],
    backbone_learning_rate_factor: float = 1.0,
    num_microbatches: int = 1,
    unroll: bool = False,
) -> dict[str, tuple[WeightedSum, Any]]:
    """Compute each task's loss as a weighted sum, and the gradient of its numerator.

    Args:
        params: of the network.
        inputs: by task, from `network_inputs`; on a device of several, its own rows of them.
        processes: by task, how inputs were noised.
        problems: by task, the static part.
        backbone_learning_rate_factor: see `train_step`.
        num_microbatches: see `train_step`.
        unroll: see `train_step`.

    Returns:
        By task the loss and its gradient, a tree like `params`. Those of several devices add up.
    """
    sums = {}
    for name, problem in problems.items():
        loss, gradient = _accumulate(
            functools.partial(_loss_sum, problem, processes[name]),
            params,
            _split(inputs[name], num_microbatches),
            unroll=unroll,
        )
        # What is frozen is left out here, before devices exchange anything.
        sums[name] = loss, trainable(gradient, backbone_learning_rate_factor)
    return sums


def _loss_sum(problem: Problem, process: NoiseProcess, params: Any, part: Inputs) -> WeightedSum:
    x_t, timesteps, targets = part
    outputs = problem.apply(process, params, x_t, timesteps)
    return problem.task.loss(outputs, targets, jnp.asarray(problem.class_weights, jnp.float32))


def _split(parts: Inputs, num: int) -> Inputs:
    """Cut [B, ...] into [num, B / num, ...].

    Micro-batch i takes rows i, i + num, ...: the same ones of a batch, whether one device has all
    of it or each of several cuts its own.
    """
    return jax.tree.map(
        lambda a: jnp.swapaxes(a.reshape(a.shape[0] // num, num, *a.shape[1:]), 0, 1), parts
    )


def _accumulate(
    loss_sum: Any, params: Any, parts: Inputs, *, unroll: bool
) -> tuple[WeightedSum, Any]:
    """Add up losses and gradients of the numerators over the leading axis of `parts`.

    Gradients of several parts are float32, whatever the type of the parameters.
    """
    num = jax.tree.leaves(parts)[0].shape[0]

    def part_of(i: int) -> Inputs:
        return jax.tree.map(lambda a: a[i], parts)

    def value_and_grad(part: Inputs) -> tuple[WeightedSum, Any]:
        def total(params: Any) -> tuple[jax.Array, jax.Array]:
            loss = loss_sum(params, part)
            return loss.total, loss.weight

        (loss_total, weight), gradient = jax.value_and_grad(total, has_aux=True)(params)
        if num > 1:
            gradient = jax.tree.map(lambda g: g.astype(jnp.float32), gradient)
        return WeightedSum(loss_total, weight), gradient

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
