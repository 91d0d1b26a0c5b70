"""The paper's setting for buildings on SpaceNet7 (Planet mosaics, 4 m).

    python -m data_prep spacenet7 --source=SPACENET7 --task=ss --data_dir=data
    python -m noise2map_jax.main --config=configs/ss_spacenet7.py
    python -m noise2map_jax.main --config=configs/ss_spacenet7.py --mode=eval

SPACENET7 is the folder that holds the owner's `train`. Needs an accelerator:
113,673,219 parameters (about 1.49 TFLOP a training image of 256 x 256).

Published F1 of the building class (the authors' code): 72.02. Not yet measured
here. Unlike the authors' code, the best checkpoint is chosen on a validation split, at the timestep
of prediction, and gradient accumulation uses every batch: 8 images accumulated twice
are one update of 16.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "ss"
    config.data.dataset = "spacenet7_ss"
    config.data.tile_size = 256
    config.data.classes = ("background", "building")
    config.train.batch_size = 16
    config.train.num_microbatches = 2
    config.train.num_epochs = 200.0
    config.train.class_weights = (1.0, 5.0)
    config.eval.batch_size = 8
    return config
