"""The point that training starts from: random values or those of `init_from`."""

import dataclasses
from collections.abc import Sequence

from noise2map_jax.devices.execution import Execution
from noise2map_jax.devices.sharding import replicate
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.steps.train_state import TrainState, initial_share, start_from
from noise2map_jax.weights.initialization import initialize


@dataclasses.dataclass(frozen=True)
class Start:
    """The point that training of some networks starts from.

    Attributes:
        state: the states of all networks, placed as `execution` places them.
        step: 0, or the step of the checkpoint to resume from.
        origins: source of each network's initial values; empty if they are random.
        digests: digest of these values, the same on all processes; empty if they are random.
    """

    state: TrainState
    step: int
    origins: tuple[str, ...]
    digests: tuple[str, ...]


def first_start(
    state: TrainState, experiments: Sequence[Experiment], execution: Execution
) -> Start:
    """Begin at step 0, with the weights that each experiment names.

    Args:
        state: the states of all networks with random parameters, placed as `execution` does.
        experiments: one for each network.
        execution: the placement of networks on devices.

    Raises:
        UserError: what `init_from` names cannot be read, or does not fit the network; or a share of
            it is to be kept, which this network's statistics do not allow.
    """
    num = len(experiments)
    origins, digests = [""] * num, [""] * num
    if any(experiment.config.init_from for experiment in experiments):
        params = [execution.member(state.params, i) for i in range(num)]
        shares = [replicate(initial_share(params[i], 0), experiments[i].mesh) for i in range(num)]
        for i, experiment in enumerate(experiments):
            if experiment.config.init_from:
                initial = initialize(experiment, params[i])
                params[i], origins[i] = initial.params, initial.summary()
                digests[i] = initial.digest
                share = initial_share(
                    initial.params, experiment.config.train.initial_share, initial.drawn
                )
                shares[i] = replicate(share, experiment.mesh)
        stacked = execution.stack_params(params)
        state = start_from(state, stacked, execution.stack_params(shares))
    return Start(state, 0, tuple(origins), tuple(digests))
