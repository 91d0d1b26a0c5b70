"""The state that training carries from step to step."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct


class TrainState(struct.PyTreeNode):
    """The training state: arrays only. Random keys follow from the seed and the step.

    Attributes:
        step: [] int32, the number of steps done; the only counter of time.
        params: tree of parameters, and of the running statistics of batch normalisation under
            `batch_stats` where the network has them.
        opt_state: state of the optimiser.
        ema_params: exponential moving average of the parameters; None when it is not kept.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    ema_params: Any

    @property
    def eval_params(self) -> Any:
        """The parameters for evaluation and prediction: the averages where they are kept."""
        return self.params if self.ema_params is None else self.ema_params


def create_train_state(
    params: Any, tx: optax.GradientTransformation, *, use_ema: bool
) -> TrainState:
    """Make the state before the first step."""
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt_state=tx.init(params),
        # A copy: the step donates its state, and a buffer can be donated only once.
        ema_params=jax.tree.map(jnp.copy, params) if use_ema else None,
    )


def start_from(state: TrainState, params: Any) -> TrainState:
    """Return a state of step 0 with other initial parameters."""
    ema_params = None if state.ema_params is None else jax.tree.map(jnp.copy, params)
    return state.replace(params=params, ema_params=ema_params)


def update_ema(ema_params: Any, params: Any, step: jax.Array, decay: float) -> Any:
    """Move the averaged parameters towards the new ones.

    The decay is min(decay, (1 + step) / (10 + step)), so the average soon forgets the random start.

    Args:
        ema_params: tree of averaged parameters.
        params: tree of parameters after the update.
        step: [] int32, updates done before this one.
        decay: the decay in the long run, in [0, 1).

    Returns:
        The new averages.
    """
    rate = 1 - jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda average, new: average + rate * (new - average), ema_params, params)
