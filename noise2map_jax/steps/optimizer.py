"""Adam and AdamW with learning-rate schedules, parameter groups and skipped updates."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from noise2map_jax.errors import UserError
from noise2map_jax.networks.rivals import RIVALS


def _adamw(rate: optax.ScalarOrSchedule, weight_decay: float) -> optax.GradientTransformation:
    """AdamW (Loshchilov, Hutter 2019) that decays kernels only.

    Biases, the scales of normalisations and the fixed frequencies of a `FourierProjection` (which
    no gradient reaches) do not decay. The `mask` of `optax.adamw` would do the same, but would
    change the structure of the state, so earlier checkpoints could not be restored.
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
# Names of backbones at the top of the parameter tree: Noise2Map's, and the encoders of rivals.
BACKBONES = {"unet", *(c.encoder_path.split("/")[0] for c in RIVALS.values() if c.encoder_path)}


def learning_rate_schedule(
    learning_rate: float, num_steps: int, *, warmup_steps: int, cosine: bool
) -> optax.Schedule:
    """Build the learning rate as a function of the step.

    Args:
        learning_rate: the peak.
        num_steps: length of the run in steps.
        warmup_steps: steps of linear rise from 0; 0 = none.
        cosine: if True, fall to 0 along half a cosine after the warm-up; else stay at the peak.

    Returns:
        step -> learning rate.

    Raises:
        UserError: the warm-up is negative, or not shorter than the run.
    """
    if not 0 <= warmup_steps < max(num_steps, 1):
        raise UserError(
            f"train.warmup_steps is {warmup_steps}; expected 0 or more, and less than num_steps = "
            f"{num_steps}"
        )
    after = num_steps - warmup_steps
    main = (
        optax.cosine_decay_schedule(learning_rate, after)
        if cosine
        else optax.constant_schedule(learning_rate)
    )
    if not warmup_steps:
        return main
    # The rise starts above 0, so that the first step already changes the parameters.
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
        max_gradient_norm: clip gradients to this global norm over all trained parameters;
            0 = never.
        backbone_learning_rate_factor: factor on the schedule for the backbone. 0 freezes the
            backbone: its updates are 0, it has no optimiser state and does not count in clipping.
        max_skipped_updates: maximum number of consecutive updates to skip because the gradient is
            not finite. The next update is applied even if it is not finite, so training stops.
        skip_above_gradient_norm: treat gradients above this norm as not finite; 0 = no limit.

    Returns:
        The optax transformation. Clipping does not change the structure of its state. The
        structure differs between a factor of 0, a factor of 1 and any other factor, and between
        skipping and not skipping updates.

    Raises:
        UserError: the name is unknown, the optimiser has no weight decay, the factor is negative
            or not finite, or `skip_above_gradient_norm` is set without `max_skipped_updates`.
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
            " no update would be skipped; set train.max_skipped_updates"
        )
    if name not in OPTIMIZERS:
        raise UserError(f"unknown optimizer {name!r}; expected one of {', '.join(OPTIMIZERS)}")
    if weight_decay and name != "adamw":
        raise UserError(f"weight_decay is {weight_decay}, but {name!r} has none; use 'adamw'")
    factor = backbone_learning_rate_factor
    if not 0 <= factor < math.inf:
        raise UserError(
            f"backbone_learning_rate_factor is {factor}; expected 0 (frozen) or a positive number"
        )
    # Always a chain of two, so that a run can continue with clipping switched on.
    clip = optax.clip_by_global_norm(max_gradient_norm) if max_gradient_norm else optax.identity()
    main = OPTIMIZERS[name](schedule, weight_decay)
    if factor == 1:
        return optax.chain(clip, main)
    if factor == 0:
        # Clipping within the group measures only the parameters that are trained.
        groups = {"projections": optax.chain(clip, main), "backbone": optax.set_to_zero()}
        return optax.partition(groups, parameter_groups)
    slower = OPTIMIZERS[name](lambda step: factor * schedule(step), weight_decay)
    groups = {"projections": main, "backbone": slower}
    return optax.chain(clip, optax.partition(groups, parameter_groups))


def _spoil_above(norm: float) -> optax.GradientTransformation:
    """Make gradients above a norm not finite, so that `optax.apply_if_finite` skips them."""

    def spoil(updates: Any, params: Any) -> Any:
        found = optax.tree.norm(updates)  # the norm can overflow where no element does
        factor = jnp.where(jnp.isfinite(found) & (found <= norm), 1.0, jnp.nan)
        return jax.tree.map(lambda u: u * factor.astype(u.dtype), updates)

    return optax.stateless(spoil)


class Skipped(NamedTuple):
    """Which updates were skipped.

    Attributes:
        last: [] bool, whether the last update was skipped.
        total: [] int32, number of updates in the whole run that were not finite.
    """

    last: jax.Array
    total: jax.Array


def skipped_updates(opt_state: Any, max_skipped_updates: int) -> Skipped:
    """Read from an optimiser's state which updates were skipped.

    `max_skipped_updates` must be the value that the optimiser was created with.
    """
    in_a_row = optax.tree.get(opt_state, "notfinite_count")
    last = (in_a_row > 0) & (in_a_row <= max_skipped_updates)
    return Skipped(last, optax.tree.get(opt_state, "total_notfinite"))


def parameter_groups(params: Any) -> Any:
    """Label every parameter `backbone` or `projections`: a tree of the same structure."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "backbone" if _name(path).split("/")[0] in BACKBONES else "projections",
        params,
    )


def trainable(gradient: Any, backbone_learning_rate_factor: float) -> Any:
    """Zero the gradient of a frozen backbone.

    XLA then drops the computation of these gradients, a third of a step's arithmetic; the
    backpropagation through the backbone to the input projections stays. The gradient norm covers
    only trained parameters.

    Args:
        gradient: tree with the structure of the parameters.
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
    """Copy a frozen backbone from old parameters, or averages, into the new ones.

    An update of 0 is not enough: adding 0 turns -0.0 into 0.0, and subnormal numbers into 0 on
    devices that flush them. Averaging a number with itself does the same.

    Args:
        new: tree of parameters after an update.
        old: tree of parameters before the update.
        backbone_learning_rate_factor: as in `create_optimizer`.

    Returns:
        The new tree; with the old backbone if the factor is 0.
    """
    if backbone_learning_rate_factor != 0:
        return new
    return jax.tree.map(
        lambda group, n, o: o if group == "backbone" else n, parameter_groups(new), new, old
    )


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_kernel(path: tuple[Any, ...]) -> bool:
    """Whether a path leads to the kernel of a convolution or a dense layer."""
    return _name(path).split("/")[-1] == "kernel"
