r"""Denoising of real aerial images with a thin backbone, a start for `multitask_buildings`.

    python -m data_prep aid --source=UNLABELLED --name=unlabelled --tile_size=128 \
        --splits=0.96,0.02,0.02 --data_dir=data
    python -m noise2map_jax.main --config=configs/pretrain_unlabelled.py
    python -m noise2map_jax.main --config=configs/pretrain_unlabelled.py --mode=eval

UNLABELLED holds folders of images without masks, each of at least 128 pixels a side: AID, or any
other. On 7,232 tiles of 2,948 images the squared error on validation fell to 5.2 % of that of
predicting zero (19.2 % for t < 200, 0.7 % for t >= 800). docs/transfer.md says what fine-tuning
from it gave. `report/samples_<step>.png` shows images sampled from noise during training.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import default, multitask_buildings


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "denoise"
    config.data.dataset = "unlabelled"
    config.data.tile_size = 128
    config.data.classes = ()
    config.augment.crop_size = 64
    config.model = multitask_buildings.get_config().model
    config.model.sample_size = 0
    config.train.batch_size = 16
    config.train.num_steps = 700
    config.train.learning_rate = 2e-3
    config.train.warmup_steps = 50
    config.train.cosine = True
    config.train.max_gradient_norm = 1.0
    config.train.ema_decay = 0.99
    config.train.log_every_steps = 25
    config.train.eval_every_steps = 350
    config.eval.batch_size = 16
    config.eval.num_timestep_bands = 5
    config.eval.num_samples = 16
    config.eval.num_sampling_steps = 50
    return config
