"""The paper's setting for changed buildings on WHU Building (aerial, 2012 and 2016).

    python -m data_prep whu --source=WHU_CHANGE --task=cd --data_dir=data
    python -m noise2map_jax.main --config=configs/cd_whu.py
    python -m noise2map_jax.main --config=configs/cd_whu.py --mode=eval

WHU_CHANGE holds the two mosaics and their change label, or crops {A,B,OUT}. Needs an accelerator:
113,673,219 parameters (about 1.49 TFLOP a training image of 256 x 256).

Published F1 of the building class (the authors' code, selected on test): 95.27. Not yet measured
here. Unlike the authors' code, the best checkpoint is chosen on a validation split, at the timestep
of prediction, and gradient accumulation uses every batch: 8 images accumulated twice
are one update of 16.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "cd"
    config.data.dataset = "whu_cd"
    config.data.tile_size = 256
    config.data.classes = ("no_change", "change")
    config.train.batch_size = 16
    config.train.num_microbatches = 2
    config.train.num_epochs = 500.0
    config.train.class_weights = (1.0, 1.0)
    config.eval.batch_size = 8
    return config
