"""The state that training carries from step to step, and the parameters that it gives."""

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct, traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.network.statistics import STATISTICS


class InitialParams(struct.PyTreeNode):
    """The parameters that training began with, a share of which is mixed into the trained ones.

    Between pretrained and fine-tuned parameters lie some that are better than both, above all on
    other data than those of the fine-tuning: "Robust fine-tuning of zero-shot models" (Wortsman
    et al. 2022, equation 1, where the share of the trained parameters is called alpha).

    Attributes:
        params: tree of parameters.
        share: tree of [] float32 with the same structure: the share of each tensor, 0 where it
            began with random values.
    """

    params: Any
    share: Any

    def mixed_into(self, trained: Any) -> Any:
        """Return `share` of these parameters plus 1 - `share` of the trained ones.

        All leaves may have the same further leading axes, for several networks.
        """
        return _mix(self.share, self.params, trained)


@jax.jit
def _mix(share: Any, initial: Any, trained: Any) -> Any:
    def mix(share: jax.Array, initial: jax.Array, trained: jax.Array) -> jax.Array:
        share = share.reshape(share.shape + (1,) * (trained.ndim - share.ndim))
        return trained + share * (initial - trained)  # equal values stay as they are

    return jax.tree.map(mix, share, initial, trained)


class TrainState(struct.PyTreeNode):
    """The training state: arrays only. Random keys follow from the seed and the step.

    Attributes:
        step: [] int32, the number of steps done; the only counter of time.
        params: tree of parameters, and of the running statistics of batch normalisation under
            `batch_stats` where the network has them.
        opt_state: state of the optimiser.
        ema_params: exponential moving average of the parameters; None when it is not kept.
        initial: the parameters before the first step; None unless a share of them is mixed in.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    ema_params: Any
    initial: InitialParams | None = None

    @property
    def eval_params(self) -> Any:
        """The parameters for evaluation and prediction.

        The averages where they are kept, mixed with the initial parameters where these are kept.
        """
        trained = self.params if self.ema_params is None else self.ema_params
        return trained if self.initial is None else self.initial.mixed_into(trained)


def create_train_state(
    params: Any,
    tx: optax.GradientTransformation,
    *,
    use_ema: bool,
    keep_initial: bool = False,
) -> TrainState:
    """Make the state before the first step.

    Args:
        params: tree of random parameters.
        tx: the optimiser.
        use_ema: whether averages of the parameters are kept.
        keep_initial: whether the initial parameters are kept, with shares of 0: see `start_from`.
    """
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt_state=tx.init(params),
        # A copy: the step donates its state, and a buffer can be donated only once.
        ema_params=jax.tree.map(jnp.copy, params) if use_ema else None,
        initial=InitialParams(
            jax.tree.map(jnp.copy, params), jax.tree.map(lambda _: jnp.float32(0), params)
        )
        if keep_initial
        else None,
    )


def start_from(state: TrainState, params: Any, share: Any) -> TrainState:
    """Return a state of step 0 with other initial parameters.

    Args:
        state: a state of step 0.
        params: tree of parameters.
        share: tree of [] float32, the share of each of them that is mixed into the trained ones;
            used where the state keeps the initial parameters.
    """
    ema_params = None if state.ema_params is None else jax.tree.map(jnp.copy, params)
    initial = state.initial and InitialParams(jax.tree.map(jnp.copy, params), share)
    return state.replace(params=params, ema_params=ema_params, initial=initial)


def initial_share(params: Any, share: float, drawn: Collection[str] = ()) -> Any:
    """Return the share of each initial tensor that is mixed into the trained one.

    Args:
        params: tree of parameters.
        share: the share, in [0, 1).
        drawn: paths, such as `unet/conv_in/kernel`, of tensors that begin with random values:
            nothing of them is mixed in.

    Returns:
        A tree like `params` of [] float32 NumPy arrays.

    Raises:
        UserError: the network has batch normalisation. The variance after mixed kernels is not the
            mean of the variances, so its running statistics cannot be mixed.
    """
    if share and STATISTICS in params:
        raise UserError(
            f"train.initial_share={share:g}, but this network has batch normalisation, whose"
            " running statistics do not fit mixed weights; set train.initial_share=0.0"
        )
    flat = traverse_util.flatten_dict(params, sep="/")
    shares = {name: np.float32(0 if name in drawn else share) for name in flat}
    return traverse_util.unflatten_dict(shares, sep="/")


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
