"""The paper's pretraining: denoising of crops of 256 x 256 from AID's 10,000 images.

    python -m data_prep aid --source=AID --data_dir=data
    python -m noise2map_jax.main --config=configs/pretrain_aid.py
    python -m noise2map_jax.main --config=configs/pretrain_aid.py --mode=eval

AID is the folder that holds AID's 30 class folders. The network is the backbone alone, 3 channels
to 3, 113,673,219 parameters, as in the published weights; it needs an accelerator (1.49 TFLOP a
training image). Afterwards `--config.init_from=runs/pretrain_aid` starts any of the paper's configs
from it, and `python -m noise2map_jax.weights export` writes it for diffusers.

The paper states Gaussian noise, prediction of the noise and the mean squared error. It does not
state the batch size, the number of epochs or the averaging of weights: they are taken from Ho et
al. 2020 where that fits. Not yet measured here.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import default


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "denoise"
    config.data.dataset = "aid"
    config.data.tile_size = 600
    config.data.classes = ()
    config.augment.crop_size = 256
    config.model.sample_size = 0
    config.model.dtype = "bfloat16"
    config.train.batch_size = 64
    config.train.num_epochs = 400.0
    config.train.learning_rate = 2e-5
    config.train.warmup_steps = 5000
    config.train.max_gradient_norm = 1.0
    config.train.ema_decay = 0.9999
    config.train.eval_every_steps = 2500
    config.eval.batch_size = 64
    config.eval.num_samples = 16
    return config
