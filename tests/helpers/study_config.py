"""A study of two schedules with the backbone of `thin_config`, for tests of whole programs."""

import thin_config

from configs import default

STEPS = 10


def get_config():
    config = default.study(
        thin_config.get_config(), ("paper", "cosine: noise.schedule=squaredcos_cap_v2")
    )
    config.train.num_steps, config.train.eval_every_steps = STEPS, STEPS // 2
    config.study.seeds = (0, 1)
    config.study.num_timesteps = 3
    config.study.num_scenes = 2
    return config
