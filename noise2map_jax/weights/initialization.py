"""Initial parameters from `config.init_from`: a finished run, an export or files of weights."""

from typing import Any

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import Experiment
from noise2map_jax.network.input_kernels import ADAPTATIONS
from noise2map_jax.networks.rivals import RIVALS
from noise2map_jax.weights.initial import Initial
from noise2map_jax.weights.noise2map_initialization import initialize_noise2map
from noise2map_jax.weights.rival_initialization import initialize_rival

PARTS = ("backbone", "all")


def initialize(experiment: Experiment, params: Any) -> Initial:
    """Replace random parameters by those in `config.init_from`.

    Args:
        experiment: the experiment, whose config names the source and the parts to read.
        params: the random tree of parameters.

    Returns:
        The parameters to train from. `Initial.drawn` names those that stay random.

    Raises:
        UserError: there is nothing to read, or tensors of the requested parts are left over or of
            another shape; the message names all of them.
    """
    config = experiment.config
    if config.init_parts not in PARTS:
        raise UserError(
            f"unknown init_parts {config.init_parts!r}; expected one of {', '.join(PARTS)}"
        )
    if config.init_input not in ("", *ADAPTATIONS):
        raise UserError(
            f"unknown init_input {config.init_input!r}; expected one of {', '.join(ADAPTATIONS)}, "
            "or nothing"
        )
    rival = RIVALS.get(config.model.name)
    # A network over a denoiser begins with Noise2Map's backbone.
    own = rival is None or rival.over_denoiser
    return (initialize_noise2map if own else initialize_rival)(experiment, params)
