"""Adam and AdamW with the learning-rate schedules that experiments ask for."""

from collections.abc import Callable

import optax

from noise2map_jax.errors import UserError

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": lambda rate, weight_decay: optax.adam(rate),
    "adamw": lambda rate, weight_decay: optax.adamw(rate, weight_decay=weight_decay),
}


def learning_rate_schedule(
    learning_rate: float, num_steps: int, *, warmup_steps: int, cosine: bool
) -> optax.Schedule:
    """Build the learning rate as a function of the step.

    Args:
        learning_rate: the peak.
        num_steps: length of the run in steps.
        warmup_steps: steps of linear rise from 0; 0 = none.
        cosine: fall to 0 along half a cosine after the warm-up; else stay at the peak.

    Returns:
        step -> learning rate.

    Raises:
        UserError: the warm-up is not shorter than the run.
    """
    if not 0 <= warmup_steps < max(num_steps, 1):
        raise UserError(
            f"warmup_steps is {warmup_steps}; expected less than num_steps = {num_steps}"
        )
    after = num_steps - warmup_steps
    main = (
        optax.cosine_decay_schedule(learning_rate, after)
        if cosine
        else optax.constant_schedule(learning_rate)
    )
    if not warmup_steps:
        return main
    # The rise ends one step early, so that the first step already moves.
    rise = optax.linear_schedule(learning_rate / warmup_steps, learning_rate, warmup_steps - 1)
    return optax.join_schedules([rise, main], [warmup_steps])


def create_optimizer(
    name: str,
    schedule: optax.Schedule,
    *,
    weight_decay: float = 0.0,
    max_gradient_norm: float = 0.0,
) -> optax.GradientTransformation:
    """Build the optimiser.

    Args:
        name: a key of `OPTIMIZERS`.
        schedule: learning rate by step.
        weight_decay: decoupled weight decay, for `adamw` only.
        max_gradient_norm: clip gradients to this global norm; 0 = never.

    Returns:
        The optax transformation.

    Raises:
        UserError: the name is unknown, or `weight_decay` is given to an optimiser without it.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"unknown optimizer {name!r}; expected one of {', '.join(OPTIMIZERS)}")
    if weight_decay and name != "adamw":
        raise UserError(f"weight_decay is {weight_decay}, which {name!r} has not; use 'adamw'")
    # Always a chain of two: a run can be gone on from with clipping switched on.
    clip = optax.clip_by_global_norm(max_gradient_norm) if max_gradient_norm else optax.identity()
    return optax.chain(clip, OPTIMIZERS[name](schedule, weight_decay))
