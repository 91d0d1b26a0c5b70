r"""Denoising for the networks of `rivals_ss.py` and `rivals_cd.py`: the same images and steps.

    python -m noise2map_jax.main --config=configs/rivals_pretrain.py:unet \
        --workdir=runs/denoiser_unet

The study `rivals_ss.py:buildings,denoising` starts each network from runs/denoiser_NAME, all but
the last layers. Networks for pairs take the encoder of the network for images with the same
encoder: `SOURCES` names it. `ddpmcd` is the frozen denoiser that DDPM-CD takes features of.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import (
    cd_levir,
    pretrain_unlabelled,
    rivals_base,
    rivals_ss,
    ss_buildings,
)
from noise2map_jax.errors import UserError

OVER_UNETS = ("noise2map", "ddpmcd")
NAMES = (*OVER_UNETS, *rivals_ss.RIVALS)
# Whose denoiser a network for pairs starts from.
SOURCES = {"fc_ef": "unet", "fc_siam_conc": "unet", "fc_siam_diff": "unet"}


def get_config(name: str = "noise2map") -> ConfigDict:
    """Return the pretraining of a network, one of `NAMES`."""
    if name not in NAMES:
        raise UserError(f"no pretraining of {name!r}; expected one of {', '.join(NAMES)}")
    config = pretrain_unlabelled.get_config()
    config.train.batch_size = 8
    if name in OVER_UNETS:
        config.model = (cd_levir if name == "ddpmcd" else ss_buildings).get_config("quick").model
        config.model.sample_size = 0
        if name == "ddpmcd":  # the bare backbone: it sees the image itself
            config.model.unet.in_channels = config.model.unet.out_channels = 3
    else:
        config.model.name = name
        config.model.options = rivals_base.options(name)
        config.eval.num_samples = 0  # without a timestep it is no sampler
    return config
