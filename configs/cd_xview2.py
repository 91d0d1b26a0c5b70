"""The paper's setting for damaged buildings on xView2 (Santa Rosa wildfire).

    python -m data_prep xview2 --source=XBD --target=damage --data_dir=data
    python -m noise2map_jax.main --config=configs/cd_xview2.py
    python -m noise2map_jax.main --config=configs/cd_xview2.py --mode=eval

XBD has {train,tier3,hold,test}/{images,labels}. If it has masks of two values instead of labels,
--mask_values says what the values mean. Needs an accelerator.
As in the paper, the images of 1024 pixels are resized to 256; the footprints are drawn on the
smaller grid. To keep all pixels, prepare with --resize=0 --tile_size=1024 and train with
--config.data.tile_size=1024: the network then resamples to 256 and back on the device.

Change means damage here: minor, major or destroyed. The authors' loader reads one mask for both
tasks, named after the pre image, so their published change score may be that of footprints.

Published F1 of the building class (the authors' code, selected on test): 86.91. Not yet
measured here; `paper_base.py` says what differs from the authors' code.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import paper_base


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = paper_base.get_config("cd", "xview2_cd", positive_weight=3.0)
    config.train.batch_size = 4
    config.eval.batch_size = 2
    return config
