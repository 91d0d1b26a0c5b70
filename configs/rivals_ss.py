"""Noise2Map against other networks for segmentation, on equal terms.

    python -m noise2map_jax.main --config=configs/rivals_ss.py --mode=ablate
    python -m noise2map_jax.main --config=configs/rivals_ss.py:spacenet7 --mode=ablate

All have the same records, batches, augmentation, loss, steps and choice of the checkpoint. Each is
trained with the learning rate of a small grid that is its best on validation. `buildings` (the
default) has thin networks for two CPU cores; `spacenet7`, `whu` and `xview2` have the published
sizes on the paper's datasets, for a GPU or TPU.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import (
    default,
    rivals_base,
    ss_buildings,
    ss_spacenet7,
    ss_whu,
    ss_xview2,
)
from noise2map_jax.errors import UserError

RIVALS = ("unet", "unetplusplus", "deeplabv3plus", "upernet", "segformer", "dpt", "rs3mamba")
PUBLISHED = {"spacenet7": ss_spacenet7, "whu": ss_whu, "xview2": ss_xview2}


def get_config(argument: str = "buildings") -> ConfigDict:
    """Return the study on a dataset: `buildings`, `spacenet7`, `whu` or `xview2`.

    `buildings,denoising` adds the networks that start from their denoisers.
    """
    data, _, pretraining = argument.partition(",")
    if data not in ("buildings", *PUBLISHED):
        raise UserError(
            f"no study of {data!r}; expected one of {', '.join(('buildings', *PUBLISHED))}"
        )
    if pretraining not in ("", "denoising") or (pretraining and data != "buildings"):
        raise UserError(f"no study of {argument!r}; expected pretraining as buildings,denoising")
    thin = data == "buildings"
    config = ss_buildings.get_config("quick") if thin else PUBLISHED[data].get_config()
    config.init_from = ""
    variants = (
        "paper",
        "clean",
        *(rivals_base.variant(name, thin=thin) for name in RIVALS),
        rivals_base.variant("unet", "model.noised_input=True", thin=thin, title="unet noised"),
    )
    if pretraining:
        variants += (
            f"noise2map denoised: {' '.join(rivals_base.pretrained('noise2map'))}",
            *(
                rivals_base.variant(
                    name, *rivals_base.pretrained(name), thin=True, title=f"{name} denoised"
                )
                for name in RIVALS
            ),
        )
    config = default.study(config, variants)
    config.study.seeds = (0, 1, 2, 3, 4)
    config.study.tune = (
        "train.learning_rate=" + ("3e-4|1e-3|3e-3|1e-2" if thin else "3e-5|1e-4|3e-4"),
    )
    config.study.num_timesteps = 0  # most networks see no timestep
    return config
