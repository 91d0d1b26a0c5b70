"""Which noise schedule? Six schedules, and the control without noise.

    python -m noise2map_jax.main --config=configs/ablate_schedules.py:cd --mode=ablate

To vary a schedule's parameters: `--config.study.grid="('noise.beta_end=0.005|0.01|0.04',)"`.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import ablate_base, default

VARIANTS = (
    *("paper", "clean"),
    "scaled_linear: noise.schedule=scaled_linear",
    "cosine: noise.schedule=squaredcos_cap_v2",
    "sigmoid: noise.schedule=sigmoid",
    "zero_terminal_snr: noise.schedule=zero_terminal_snr",
    "karras: noise.schedule=karras",
)


def get_config(task: str = "ss") -> ConfigDict:
    """Return the study of a task, `ss` or `cd`."""
    return default.study(ablate_base.get_config(task), VARIANTS)
