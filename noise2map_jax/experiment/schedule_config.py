"""The noise schedule that a config describes."""

import jax
from ml_collections import ConfigDict

from noise2map_jax.method import schedules

PARAMETERS = ("beta_start", "beta_end", "max_beta", "sigma_min", "sigma_max", "rho")


def create_schedule(options: ConfigDict) -> jax.Array:
    """Return alphas_cumprod [T] of a config's section `noise`.

    Raises:
        UserError: the schedule does not exist.
    """
    parameters = {name: options[name] for name in PARAMETERS}
    return schedules.create(options.schedule, options.num_train_timesteps, parameters)
