"""Which timesteps to train with? All, the late ones, the early ones, all but the blind zone.

    python -m noise2map_jax.main --config=configs/ablate_timesteps.py:cd --mode=ablate

The blind zone: with the published schedule, the two halves of a pair's input are the same at
t = 258 and nearly the same around it, so no change reaches the network.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import ablate_base, default

VARIANTS = (
    *("paper", "clean"),
    "late: noise.timestep_range=900,1000",
    "early: noise.timestep_range=0,50 noise.inference_timesteps=25,",
    "no blind zone: noise.min_contrast=0.2",
    "by contrast: noise.contrast_power=1.0",
)


def get_config(task: str = "ss") -> ConfigDict:
    """Return the study of a task, `ss` or `cd`."""
    return default.study(ablate_base.get_config(task), VARIANTS)
