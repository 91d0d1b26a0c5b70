"""Adam and AdamW with the learning-rate schedules and parameter groups that experiments ask for."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from noise2map_jax.errors import UserError


def _adamw(rate: optax.ScalarOrSchedule, weight_decay: float) -> optax.GradientTransformation:
    """AdamW (Loshchilov, Hutter 2019) that decays kernels only.

    Biases and the scales of normalisations are not pulled to 0, nor are the fixed frequencies of a
    `FourierProjection`, which no gradient reaches. As `optax.adamw`, whose own `mask` would change
    the structure of the state, so that earlier checkpoints could not be restored.
    """

    def decay(updates: Any, params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, u, p: u + weight_decay * p if _is_kernel(path) else u, updates, params
        )

    return optax.chain(
        optax.scale_by_adam(),
        optax.stateless(decay) if weight_decay else optax.identity(),
        optax.scale_by_learning_rate(rate),
    )


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": lambda rate, weight_decay: optax.adam(rate),
    "adamw": _adamw,
}
BACKBONE = "unet"  # its place at the top of the parameter tree


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
    backbone_learning_rate_factor: float = 1.0,
    max_skipped_updates: int = 0,
    skip_above_gradient_norm: float = 0.0,
) -> optax.GradientTransformation:
    """Build the optimiser.

    Args:
        name: a key of `OPTIMIZERS`.
        schedule: learning rate by step.
        weight_decay: decoupled weight decay of kernels, for `adamw` only; it follows the learning
            rate. Biases and the scales of normalisations do not decay.
        max_gradient_norm: clip gradients to this global norm, of all that is trained; 0 = never.
        backbone_learning_rate_factor: the backbone learns at this times the schedule. 0 freezes
            it: its updates are 0, it has no state here and no part in clipping.
        max_skipped_updates: so many updates in a row are left out where the gradient is not
            finite; the one after them is done, whatever it is, so that training then stops.
        skip_above_gradient_norm: gradients above this norm count as not finite; 0 = none do.

    Returns:
        The optax transformation. Its state has the same structure with clipping and without; a
        factor of 1, one of 0 and all others have three different ones, and so has leaving out
        updates.

    Raises:
        UserError: the name is unknown, `weight_decay` is given to an optimiser without it, the
            factor is negative or not finite, or a limit is given to what leaves nothing out.
    """
    if max_skipped_updates < 0 or skip_above_gradient_norm < 0:
        raise UserError(
            f"max_skipped_updates is {max_skipped_updates} and skip_above_gradient_norm "
            f"{skip_above_gradient_norm}; expected 0 or more"
        )
    if max_skipped_updates:
        inner = create_optimizer(
            name,
            schedule,
            weight_decay=weight_decay,
            max_gradient_norm=max_gradient_norm,
            backbone_learning_rate_factor=backbone_learning_rate_factor,
        )
        spoil = _spoil_above(skip_above_gradient_norm or math.inf)
        return optax.chain(spoil, optax.apply_if_finite(inner, max_skipped_updates))
    if skip_above_gradient_norm:
        raise UserError(
            f"skip_above_gradient_norm is {skip_above_gradient_norm}, but max_skipped_updates is 0:"
            " nothing would be left out; set train.max_skipped_updates"
        )
    if name not in OPTIMIZERS:
        raise UserError(f"unknown optimizer {name!r}; expected one of {', '.join(OPTIMIZERS)}")
    if weight_decay and name != "adamw":
        raise UserError(f"weight_decay is {weight_decay}, which {name!r} has not; use 'adamw'")
    factor = backbone_learning_rate_factor
    if not 0 <= factor < math.inf:
        raise UserError(
            f"backbone_learning_rate_factor is {factor}; expected 0 (frozen) or a positive number"
        )
    # Always a chain of two: a run can be gone on from with clipping switched on.
    clip = optax.clip_by_global_norm(max_gradient_norm) if max_gradient_norm else optax.identity()
    main = OPTIMIZERS[name](schedule, weight_decay)
    if factor == 1:
        return optax.chain(clip, main)
    if factor == 0:
        # Clipping within the group, so that it measures only what is trained.
        groups = {"projections": optax.chain(clip, main), "backbone": optax.set_to_zero()}
        return optax.partition(groups, parameter_groups)
    slower = OPTIMIZERS[name](lambda step: factor * schedule(step), weight_decay)
    groups = {"projections": main, "backbone": slower}
    return optax.chain(clip, optax.partition(groups, parameter_groups))


def _spoil_above(norm: float) -> optax.GradientTransformation:
    """Make gradients above a norm not finite, so that what follows leaves them out."""

    def spoil(updates: Any, params: Any) -> Any:
        found = optax.tree.norm(updates)  # which can overflow where no element does
        factor = jnp.where(jnp.isfinite(found) & (found <= norm), 1.0, jnp.nan)
        return jax.tree.map(lambda u: u * factor.astype(u.dtype), updates)

    return optax.stateless(spoil)


class Skipped(NamedTuple):
    """What was left out.

    Attributes:
        last: [] bool, whether the last update was.
        total: [] int32, how many were not finite so far, over all of the run.
    """

    last: jax.Array
    total: jax.Array


def skipped_updates(opt_state: Any, max_skipped_updates: int) -> Skipped:
    """Read off an optimiser's state what was left out; `max_skipped_updates` as it was made."""
    in_a_row = optax.tree.get(opt_state, "notfinite_count")
    last = (in_a_row > 0) & (in_a_row <= max_skipped_updates)
    return Skipped(last, optax.tree.get(opt_state, "total_notfinite"))


def parameter_groups(params: Any) -> Any:
    """Label every parameter `backbone` or `projections`: a tree of the same structure."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "backbone" if _name(path).split("/")[0] == BACKBONE else "projections",
        params,
    )


def trainable(gradient: Any, backbone_learning_rate_factor: float) -> Any:
    """Zero the gradient of a frozen backbone.

    XLA then leaves its computation out (a third of a step's arithmetic; what has to pass through
    the backbone to the projections before it stays), and the norm shows only what is trained.

    Args:
        gradient: tree of the parameters' structure.
        backbone_learning_rate_factor: as in `create_optimizer`.

    Returns:
        The gradient, unchanged unless the factor is 0.
    """
    if backbone_learning_rate_factor != 0:
        return gradient
    return jax.tree.map(
        lambda group, g: jnp.zeros_like(g) if group == "backbone" else g,
        parameter_groups(gradient),
        gradient,
    )


def keep_frozen(new: Any, old: Any, backbone_learning_rate_factor: float) -> Any:
    """Put a frozen backbone back into new parameters, or new averages, as it was.

    Adding 0 is not quite to leave alone: it turns -0.0 into 0.0, and where a device flushes
    subnormal numbers, those into 0; so does averaging a number with itself.

    Args:
        new: tree of parameters after an update.
        old: the same before it.
        backbone_learning_rate_factor: as in `create_optimizer`.

    Returns:
        The new tree, its backbone that of the old one if the factor is 0.
    """
    if backbone_learning_rate_factor != 0:
        return new
    return jax.tree.map(
        lambda group, n, o: o if group == "backbone" else n, parameter_groups(new), new, old
    )


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_kernel(path: tuple[Any, ...]) -> bool:
    """Whether this is the kernel of a convolution or a dense layer."""
    return _name(path).split("/")[-1] == "kernel"
