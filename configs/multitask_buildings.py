"""Buildings and their changes over one thin backbone, on real images.

    python -m data_prep folder --source=BUILDINGS --name=buildings --data_dir=data
    python -m data_prep folder --source=LEVIR_CD --name=levir_cd --data_dir=data
    python -m noise2map_jax.main --config=configs/multitask_buildings.py
    python -m noise2map_jax.main --config=configs/multitask_buildings.py --mode=eval
    python -m noise2map_jax.predict --workdir=runs/multitask_buildings --task=ss --image=A.tif ...

Every step takes a batch of each task. `--config.tasks.cd.weight=0.0` trains segmentation alone on
the same network, and `--config.init_from=runs/pretrain_unlabelled` starts from a denoiser.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import cd_levir, default, ss_buildings


def get_config() -> ConfigDict:
    """Return the experiment."""
    config, ss, cd = (c.get_config("quick") for c in (ss_buildings, ss_buildings, cd_levir))
    # Whole tiles of 256 at half their resolution, for both tasks.
    config.model.sample_size = 128
    config.model.unet.block_out_channels = (16, 32, 48, 64)
    ss.augment.crop_size = 0
    config.train.learning_rate = 2e-3
    config.train.batch_size = 4
    config.train.num_steps = 600
    return default.multitask(config, {"ss": ss, "cd": cd})
