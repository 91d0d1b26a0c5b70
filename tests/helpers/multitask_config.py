"""A config of segmentation and change detection over one backbone of a few thousand parameters."""

import thin_config

from configs import default


def get_config():
    ss, cd = thin_config.get_config(), thin_config.get_config()
    cd.data.dataset, cd.data.classes = "thin_cd", ("no_change", "change")
    config = thin_config.get_config()
    config.train.num_steps = 6
    config.train.eval_every_steps = 3
    return default.multitask(config, {"ss": ss, "cd": cd})
