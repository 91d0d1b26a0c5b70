r"""Buildings on generated scenes with a thin backbone: the first thing to run, on a CPU.

    python -m data_prep synthetic --task=ss --name=demo_ss --data_dir=demo/data \
        --num_scenes=500,40,80 --scene_size=128 --tile_size=64
    python -m noise2map_jax.main --config=configs/demo_ss.py --workdir=demo/ss
    python -m noise2map_jax.main --config=configs/demo_ss.py --workdir=demo/ss --mode=eval
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import default


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "ss"
    config.data.dataset = "demo_ss"
    config.data.data_dir = "demo/data"
    config.data.tile_size = 64
    thin(config)
    config.train.class_weights = (1.0, 1.5)
    return config


def thin(config: ConfigDict) -> None:
    """Shrink backbone and run to minutes on two CPU cores."""
    config.model.sample_size = 64
    config.model.unet.in_channels = 16
    config.model.unet.out_channels = 16
    config.model.unet.block_out_channels = (16, 32, 48, 64)
    config.model.unet.layers_per_block = 1
    config.model.unet.attention_levels = ()
    config.model.unet.norm_num_groups = 8
    config.train.batch_size = 8
    config.train.num_steps = 320
    config.train.learning_rate = 3e-3
    config.train.warmup_steps = 20
    config.train.cosine = True
    config.train.max_gradient_norm = 1.0
    config.train.log_every_steps = 20
    config.train.eval_every_steps = 160
    config.eval.batch_size = 16
