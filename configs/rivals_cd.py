"""Noise2Map against other networks for change detection, on equal terms.

    python -m noise2map_jax.main --config=configs/rivals_cd.py --mode=ablate
    python -m noise2map_jax.main --config=configs/rivals_cd.py:whu --mode=ablate

As `rivals_ss.py`. `levir` (the default) has thin networks for two CPU cores, on crops of 128
pixels. The other datasets are the paper's, with networks of the published sizes.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import (
    cd_levir,
    cd_spacenet7,
    cd_whu,
    cd_xview2,
    default,
    rivals_base,
    rivals_pretrain,
)
from noise2map_jax.errors import UserError

RIVALS = (
    *("fc_ef", "fc_siam_conc", "fc_siam_diff"),
    *("bit", "changeformer", "elgcnet", "changemamba"),
)
PUBLISHED = {"spacenet7": cd_spacenet7, "whu": cd_whu, "xview2": cd_xview2}


def get_config(argument: str = "levir") -> ConfigDict:
    """Return the study on a dataset: `levir`, `spacenet7`, `whu` or `xview2`.

    `levir,denoising` adds the networks that start from their denoisers.
    """
    data, _, pretraining = argument.partition(",")
    if data not in ("levir", *PUBLISHED):
        raise UserError(f"no study of {data!r}; expected one of {', '.join(('levir', *PUBLISHED))}")
    if pretraining not in ("", "denoising") or (pretraining and data != "levir"):
        raise UserError(f"no study of {argument!r}; expected pretraining as levir,denoising")
    thin = data == "levir"
    config = cd_levir.get_config("quick") if thin else PUBLISHED[data].get_config()
    config.init_from = ""
    config.init_parts = "backbone"
    if thin:
        _cheapen(config)
    # Patches are Noise2Map's alone.
    whole = ("model.patch_size=1",) if thin else ()
    variants = (
        "paper",
        "clean",
        *(rivals_base.variant(name, *whole, thin=thin) for name in RIVALS),
        rivals_base.variant(
            "fc_ef", "model.noised_input=True", *whole, thin=thin, title="fc_ef noised"
        ),
    )
    if pretraining:
        over = "model.patch_size=1 model.unet.in_channels=3 model.unet.out_channels=3"
        frozen = "train.backbone_learning_rate_factor=0.0"
        variants += (
            *(
                rivals_base.variant(
                    name,
                    *rivals_base.pretrained(source),
                    *whole,
                    thin=True,
                    title=f"{name} denoised",
                )
                for name, source in rivals_pretrain.SOURCES.items()
            ),
            f"ddpmcd: model.name=ddpmcd {over} {frozen} init_from=runs/denoiser_ddpmcd",
        )
    config = default.study(config, variants)
    config.study.seeds = (0, 1, 2, 3, 4)
    config.study.tune = ("train.learning_rate=" + ("3e-4|1e-3|3e-3" if thin else "3e-5|1e-4|3e-4"),)
    config.study.num_timesteps = 0  # most networks see no timestep
    return config


def _cheapen(config: ConfigDict) -> None:
    """Make trainings of a few minutes of which most networks still learn something."""
    config.augment.crop_size = 128
    # With patches of two, Noise2Map trains 34 pairs a second on two cores, FC-Siam-diff 21.
    config.model.sample_size = 0
    config.model.patch_size = 2
    config.model.unet.in_channels = 24  # 2 * 2 pixels of two dates of three bands
    config.train.batch_size = 4
    config.train.num_steps = 240
    config.train.eval_every_steps = 120
    # Few pixels changed. After 300 steps of 8, FC-Siam-diff had F1 57 with Dice, 49 with
    # cross-entropy alone and weights of 1 and 10.
    config.train.losses = ("cross_entropy", "dice")
