"""A backbone of one level and a few thousand parameters, for tests of whole programs.

Deeper ones are tested in tests/network, and by the configs that are shipped.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.tile_size = 32
    config.model.sample_size = 32
    config.model.unet.block_out_channels = (8,)
    config.model.unet.layers_per_block = 1
    config.model.unet.attention_levels = ()
    config.model.unet.add_attention = False
    config.model.unet.norm_num_groups = 4
    config.data.dataset = "thin_ss"
    config.train.batch_size = 8
    config.train.num_steps = 20
    config.train.learning_rate = 3e-3
    config.train.log_every_steps = 1
    config.train.eval_every_steps = 10
    config.eval.num_pictures = 2
    config.train.write_report = False  # plots are slow to import and to draw
    return config
