"""The paper's setting for damaged buildings on xView2 (Santa Rosa wildfire).

    python -m data_prep xview2 --source=XBD --target=damage --data_dir=data
    python -m noise2map_jax.main --config=configs/cd_xview2.py
    python -m noise2map_jax.main --config=configs/cd_xview2.py --mode=eval

XBD has {train,tier3,hold,test}/{images,labels}; where it has masks of two values instead of labels,
say what they tell with --mask_values. Needs an accelerator:
113,673,219 parameters (about 1.49 TFLOP a training image of 256 x 256).
As in the paper the 1024 pixel images are resized to 256; the footprints are drawn on the smaller
grid. To keep their pixels, prepare with --resize=0 --tile_size=1024 and train with
--config.data.tile_size=1024: the network then resamples to 256 and back on the device.

The change here is damage: minor, major or destroyed. The authors' loader reads one mask for both
tasks, named after the image before, so their published change score may be of footprints.

Published F1 of the building class (the authors' code, selected on test): 86.91. Not yet measured
here. Unlike the authors' code, the best checkpoint is chosen on a validation split, at the timestep
of prediction, and gradient accumulation uses every batch: 2 images accumulated twice
are one update of 4.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "cd"
    config.data.dataset = "xview2_cd"
    config.data.tile_size = 256
    config.data.classes = ("no_change", "change")
    config.train.batch_size = 4
    config.train.num_microbatches = 2
    config.train.num_epochs = 200.0
    config.train.class_weights = (1.0, 3.0)
    config.eval.batch_size = 2
    return config
