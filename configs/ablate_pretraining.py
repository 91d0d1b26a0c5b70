"""Does pretraining help? Random initial values against a pretrained denoiser, at late and early t.

    python -m noise2map_jax.main --config=configs/pretrain_unlabelled.py
    python -m noise2map_jax.main --config=configs/ablate_pretraining.py:ss --mode=ablate

The pretrained run is in runs/pretrain_unlabelled. To use another one:
--config.study.variants="('paper', 'mine: init_from=runs/mine init_input=inflate')".
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import ablate_base, default, pretrain_unlabelled

DENOISER = "init_from=runs/pretrain_unlabelled init_input=inflate"
EARLY = "noise.timestep_range=0,50 noise.inference_timesteps=25,"
VARIANTS = (
    "paper",
    f"paper pretrained: {DENOISER}",
    f"early: {EARLY}",
    f"early pretrained: {EARLY} {DENOISER}",
)


def get_config(task: str = "ss") -> ConfigDict:
    """Return the study of a task, `ss` or `cd`."""
    config = ablate_base.get_config(task)
    config.model.unet = pretrain_unlabelled.get_config().model.unet  # the denoiser's
    return default.study(config, VARIANTS)
