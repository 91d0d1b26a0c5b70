"""What the six settings of the paper share: the full backbone on tiles of 256 pixels.

The backbone has 113,673,219 parameters and needs about 1.49 TFLOP a training image of 256 x 256
(docs/pods.md has what the compiled step takes now), thus an accelerator. Published scores are those
of the authors' code; none is measured here yet. Unlike the authors' code, the best checkpoint is
chosen on a validation split, at the timestep of prediction, and gradient accumulation uses every
batch: two halves of a batch are one update.

This file is no experiment by itself; see `ss_spacenet7.py`.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import default

CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change")}


def get_config(task: str, dataset: str, *, positive_weight: float) -> ConfigDict:
    """Return the setting of a task, `ss` or `cd`, on a dataset.

    Args:
        task: `ss` or `cd`.
        dataset: name of the dataset that data_prep wrote.
        positive_weight: weight of buildings or of change in the loss; the background weighs 1.
    """
    config = default.get_config()
    config.task = task
    config.data.dataset = dataset
    config.data.tile_size = 256
    config.data.classes = CLASSES[task]
    config.train.batch_size = 16
    config.train.num_microbatches = 2
    config.train.num_epochs = 200.0
    config.train.class_weights = (1.0, positive_weight)
    config.eval.batch_size = 8
    return config
