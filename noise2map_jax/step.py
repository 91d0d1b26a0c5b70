"""The training, evaluation and prediction steps: pure functions, jitted by the programs.

    noise -> network -> loss -> gradient -> update

Everything random follows from the root key and the step, and is drawn for the whole batch before
it is cut into micro-batches: accumulation and resuming change nothing.
"""

import dataclasses
import enum
from typing import Any

import jax
import jax.numpy as jnp
import optax

from noise2map_jax.augment import Augmentation, augment_geometry, jitter
from noise2map_jax.losses import IGNORE, WeightedSum
from noise2map_jax.metrics import confusion_matrices
from noise2map_jax.model import Noise2Map
from noise2map_jax.noise import NoiseProcess, add_noise, inference_timesteps, sample_timesteps
from noise2map_jax.scaling import scale_images
from noise2map_jax.tasks import Task
from noise2map_jax.train_state import TrainState, update_ema

Batch = dict[str, jax.Array]


class Stream(enum.IntEnum):
    """Independent streams of random numbers within a step."""

    GEOMETRY = 0
    JITTER = 1
    TIMESTEPS = 2
    GAUSSIAN = 3


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is static in a step: the network, the task and how records become inputs.

    Attributes:
        model: the network.
        task: what is predicted from what.
        value_range: (low, high) in sensor units, scaled to [-1, 1].
        class_weights: K weights of the classes in the loss.
    """

    model: Noise2Map
    task: Task
    value_range: tuple[float, float]
    class_weights: tuple[float, ...]

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_weights)


def _scaled(problem: Problem, batch: Batch) -> Batch:
    images = {key: scale_images(batch[key], problem.value_range) for key in problem.task.image_keys}
    return batch | images


def _gaussian(process: NoiseProcess, key: jax.Array, x: jax.Array) -> jax.Array:
    # Most processes have no Gaussian part: then the numbers are not drawn at all.
    return jax.lax.cond(
        process.mix.gaussian != 0,
        lambda: jax.random.normal(key, x.shape, x.dtype),
        lambda: jnp.zeros_like(x),
    )


def _noised(
    problem: Problem, process: NoiseProcess, key: jax.Array, x: jax.Array, timesteps: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return x_t and eps, both [B, H, W, C]."""
    eps = _gaussian(process, key, x)
    return add_noise(process, x, problem.task.swap(x), eps, timesteps), eps


def _apply(
    problem: Problem, process: NoiseProcess, params: Any, x_t: jax.Array, timesteps: jax.Array
) -> jax.Array:
    outputs = problem.model.apply(
        {"params": params},
        x_t,
        timesteps,
        task=problem.task.name,
        use_timestep=process.use_timestep,
    )
    assert isinstance(outputs, jax.Array)  # and not variables beside it: nothing is mutable
    return outputs


def train_step(
    state: TrainState,
    batch: Batch,
    process: NoiseProcess,
    key: jax.Array,
    *,
    problem: Problem,
    tx: optax.GradientTransformation,
    augmentation: Augmentation,
    num_microbatches: int = 1,
    unroll_microbatches: bool = False,
    ema_decay: float = 0.0,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Do one update.

    Args:
        state: before the update.
        batch: arrays [B, S, S, *] as stored: the task's images and, if it has one, `mask`.
        process: how inputs are noised; an argument, so no process is ever compiled anew.
        key: the root key of the run, the same at every step.
        problem: the static part.
        tx: the optimiser; its state is in `state`.
        augmentation: what is varied.
        num_microbatches: the gradient is accumulated over this many parts of the batch, exactly:
            numerators and denominators of the loss are added up before dividing.
        unroll_microbatches: write the parts out instead of looping. XLA's CPU convolutions are
            many times slower inside loops; on accelerators the loop compiles faster.
        ema_decay: decay of the averaged parameters, where the state holds them.

    Returns:
        The state after the update, and `loss`, `gradient_norm` and `params_norm` (of the new
        parameters), [] float32.
    """
    step_key = jax.random.fold_in(key, state.step)
    keys = {stream: jax.random.fold_in(step_key, stream) for stream in Stream}

    batch = augment_geometry(augmentation, keys[Stream.GEOMETRY], dict(batch))
    batch = _scaled(problem, batch)
    for i, name in enumerate(problem.task.image_keys):
        jitter_key = jax.random.fold_in(keys[Stream.JITTER], i)
        batch[name] = jitter(augmentation, jitter_key, batch[name])
    x = problem.task.inputs(batch)
    timesteps = sample_timesteps(process, keys[Stream.TIMESTEPS], x.shape[0])
    x_t, eps = _noised(problem, process, keys[Stream.GAUSSIAN], x, timesteps)
    targets = problem.task.targets(batch, x, eps)
    class_weights = jnp.asarray(problem.class_weights, jnp.float32)

    def loss_sum(params: Any, part: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        x_t, timesteps, targets = part
        outputs = _apply(problem, process, params, x_t, timesteps)
        return problem.task.loss(outputs, targets, class_weights)

    loss, gradient = _accumulate(
        loss_sum,
        state.params,
        _split((x_t, timesteps, targets), num_microbatches),
        unroll=unroll_microbatches,
    )
    # A batch in which every pixel is ignored has weight 0: no loss, no gradient, not a NaN.
    weight = jnp.where(loss.weight > 0, loss.weight, 1.0)
    gradient = jax.tree.map(lambda g: g / weight, gradient)

    updates, opt_state = tx.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = state.ema_params
    if ema_params is not None:
        ema_params = update_ema(ema_params, params, state.step, ema_decay)
    new_state = TrainState(
        step=state.step + 1, params=params, opt_state=opt_state, ema_params=ema_params
    )
    metrics = {
        "loss": loss.total / weight,
        "gradient_norm": optax.tree.norm(gradient),
        "params_norm": optax.tree.norm(params),  # not finite as soon as a parameter is not
    }
    return new_state, metrics


def eval_step(
    params: Any, batch: Batch, process: NoiseProcess, *, problem: Problem
) -> dict[str, jax.Array]:
    """Score a batch at the process's inference timestep.

    Args:
        params: the parameters to evaluate.
        batch: as in `train_step`, and `valid` [B] bool: False for rows that only fill the batch.
        process: how inputs are noised.
        problem: the static part.

    Returns:
        `confusion` [B, K, K] int32 (row = label, column = prediction), all zeros for rows that
        are not valid; `loss_total` and `loss_weight`, [] float32, whose quotient is the loss.
    """
    logits, batch = _predict_logits(params, batch, process, problem)
    labels = jnp.where(batch["valid"][:, None, None], batch["mask"][..., 0], IGNORE)
    loss = problem.task.loss(logits, labels, jnp.asarray(problem.class_weights, jnp.float32))
    predictions = jnp.argmax(logits, axis=-1)
    return {
        "confusion": confusion_matrices(predictions, labels, problem.num_classes),
        "loss_total": loss.total,
        "loss_weight": loss.weight,
    }


def predict_step(
    params: Any, batch: Batch, process: NoiseProcess, *, problem: Problem
) -> jax.Array:
    """Return class probabilities at the inference timestep, [B, H, W, K] float32."""
    logits, _ = _predict_logits(params, batch, process, problem)
    return jax.nn.softmax(logits, axis=-1)


def _predict_logits(
    params: Any, batch: Batch, process: NoiseProcess, problem: Problem
) -> tuple[jax.Array, Batch]:
    batch = _scaled(problem, batch)
    x = problem.task.inputs(batch)
    timesteps = inference_timesteps(process, x.shape[0])
    # A fixed key: with Gaussian noise a batch of the same shape gives the same prediction again.
    x_t, _ = _noised(problem, process, jax.random.key(0), x, timesteps)
    return _apply(problem, process, params, x_t, timesteps), batch


def _split(parts: tuple[jax.Array, ...], num: int) -> tuple[jax.Array, ...]:
    """Cut [B, ...] into [num, B / num, ...].

    Micro-batch i takes rows i, i + num, ...: each device keeps the rows it has, where taking
    consecutive rows would move them between devices.
    """
    return jax.tree.map(
        lambda a: jnp.swapaxes(a.reshape(a.shape[0] // num, num, *a.shape[1:]), 0, 1), parts
    )


def _accumulate(
    loss_sum: Any, params: Any, parts: tuple[jax.Array, ...], *, unroll: bool
) -> tuple[WeightedSum, Any]:
    """Add up losses and gradients of the numerators over the leading axis of `parts`."""

    def value_and_grad(part: tuple[jax.Array, ...]) -> tuple[WeightedSum, Any]:
        def total(params: Any) -> tuple[jax.Array, jax.Array]:
            loss = loss_sum(params, part)
            return loss.total, loss.weight

        (loss_total, weight), gradient = jax.value_and_grad(total, has_aux=True)(params)
        return WeightedSum(loss_total, weight), gradient

    num = jax.tree.leaves(parts)[0].shape[0]
    if num == 1 or unroll:
        results = [value_and_grad(tuple(a[i] for a in parts)) for i in range(num)]
        return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *results)
    zeros = jax.tree.map(
        lambda s: jnp.zeros(s.shape, s.dtype),
        jax.eval_shape(value_and_grad, tuple(a[0] for a in parts)),
    )
    return jax.lax.scan(
        lambda carry, part: (jax.tree.map(jnp.add, carry, value_and_grad(part)), None), zeros, parts
    )[0]
