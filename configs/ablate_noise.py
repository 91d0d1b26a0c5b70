"""Does the noise help? The same network on clean images, with Gaussian noise, and as published.

    python -m noise2map_jax.main --config=configs/ablate_noise.py:ss --mode=ablate --workdir=runs/ss
    python -m noise2map_jax.main --config=configs/ablate_noise.py:cd --mode=ablate --workdir=runs/cd

The data are those of `ss_buildings.py` and `cd_levir.py`. A study of schedules or timesteps of the
same task may share the --workdir: members that both studies have are trained once.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import ablate_base, default

VARIANTS = ("paper", "clean", "clean_timestep", "gaussian")


def get_config(task: str = "ss") -> ConfigDict:
    """Return the study of a task, `ss` or `cd`."""
    # For a single image, the paper's noise is `self` already; for a pair, `self` is the control
    # without the exchange of dates.
    variants = VARIANTS if task == "ss" else (*VARIANTS, "self")
    return default.study(ablate_base.get_config(task), variants)
