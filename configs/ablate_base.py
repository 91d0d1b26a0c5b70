"""The base of the studies on real images: a thin backbone, the paper's noise, minutes on a CPU.

This file is no study by itself; see `ablate_noise.py`, `ablate_schedules.py`,
`ablate_timesteps.py`, `ablate_pretraining.py`. For the paper's size write a config that calls
`default.study(ss_whu.get_config(), VARIANTS)`.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import cd_levir, default, ss_buildings
from noise2map_jax.errors import UserError

TASKS = {"ss": ss_buildings, "cd": cd_levir}


def get_config(task: str = "ss") -> ConfigDict:
    """Return the experiment of a task, `ss` or `cd`."""
    if task not in TASKS:
        raise UserError(f"no study of task {task!r}; expected one of {', '.join(TASKS)}")
    config = TASKS[task].get_config("quick")
    config.noise = default.get_config().noise  # the published noise process
    config.init_from = ""
    config.init_parts = "backbone"
    config.augment.crop_size = 0
    config.model.sample_size = 64  # whole tiles of 256 at a quarter of their resolution
    # Convolutions of whole tiles are slow on a CPU, so the backbone has few channels: three for an
    # image, as published.
    config.model.unet.in_channels = config.model.unet.out_channels = {"ss": 3, "cd": 8}[task]
    config.model.unet.block_out_channels = (16, 32, 48, 64)
    config.train.batch_size = 8
    config.train.num_steps = {"ss": 150, "cd": 300}[task]
    config.train.learning_rate = 2e-3
    config.train.warmup_steps = 20
    config.train.eval_every_steps = {"ss": 50, "cd": 100}[task]
    if task == "cd":  # with less weight, a network with random values long predicts no change
        config.train.class_weights = (1.0, 10.0)
    config.eval.group_regex = ""
    return config
