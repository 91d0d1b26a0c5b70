"""The paper's setting for buildings on WHU Building (aerial, 512 pixel tiles).

    python -m noise2map_jax.main --config=configs/ss_whu.py

Needs the dataset `whu_ss` in data/, and an accelerator: the backbone has 113,673,219 parameters
(about 1.49 TFLOP a training image of 256 x 256).
The authors shrink the 512 pixel tiles to 256 before training. Here the tiles keep their pixels:
`align_corners` resampling and a 3x3 convolution on either side of the backbone do it on the device,
and the map comes out at 512.

Published F1 of the building class (authors' PyTorch code, selected on test): 95.69. Not yet measured
here. Unlike the authors' code, the best checkpoint is chosen on a validation split, at the timestep
of prediction, and gradient accumulation uses every batch: 8 images accumulated twice are one update
of 16.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "ss"
    config.data.dataset = "whu_ss"
    config.data.tile_size = 512
    config.data.classes = ("background", "building")
    config.train.batch_size = 16
    config.train.num_microbatches = 2
    config.train.num_epochs = 200.0
    config.train.class_weights = (1.0, 10.0)
    config.eval.batch_size = 8
    return config
