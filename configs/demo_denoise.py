r"""Denoising of generated scenes: pretraining to look at, on a CPU.

    python -m data_prep synthetic --task=ss --name=demo_denoise --data_dir=demo/data \
        --num_scenes=2000,40,40 --scene_size=96 --tile_size=48 --pixel_size=1.6
    python -m noise2map_jax.main --config=configs/demo_denoise.py --workdir=demo/denoise

About 45 minutes on two CPU cores; error on test 17 % of predicting zero (docs/transfer.md).
`demo/denoise/report/samples_<step>.png` shows what the network draws from noise as it learns.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import default, demo_ss


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    demo_ss.thin(config)
    config.task = "denoise"
    config.data.dataset = "demo_denoise"
    config.data.data_dir = "demo/data"
    config.data.tile_size = 48
    config.data.classes = ()
    config.augment.crop_size = 32
    config.model.sample_size = 0
    config.model.unet.in_channels = 3
    config.model.unet.out_channels = 3
    config.model.unet.block_out_channels = (32, 48, 64)
    config.model.unet.attention_levels = (1, 2)  # of 16 x 16 and 8 x 8 pixels
    # Signal is above noise for half of all t; with `linear` for a quarter of them.
    config.noise.schedule = "squaredcos_cap_v2"
    config.noise.prediction_type = "v_prediction"
    config.train.batch_size = 32
    config.train.num_steps = 8000
    config.train.learning_rate = 2e-3
    config.train.warmup_steps = 100
    config.train.cosine = True
    config.train.ema_decay = 0.999
    config.train.log_every_steps = 50
    config.train.eval_every_steps = 2000
    config.eval.batch_size = 32
    config.eval.num_timestep_bands = 5
    config.eval.num_samples = 36
    return config
