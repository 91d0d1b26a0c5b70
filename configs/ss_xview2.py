"""The paper's setting for buildings on xView2 (pre images of the Santa Rosa wildfire).

    python -m data_prep xview2 --source=XBD --target=buildings --data_dir=data
    python -m noise2map_jax.main --config=configs/ss_xview2.py
    python -m noise2map_jax.main --config=configs/ss_xview2.py --mode=eval

XBD has {train,tier3,hold,test}/{images,labels}. Needs an accelerator.
As in the paper, the images of 1024 pixels are resized to 256; the footprints are drawn on the
smaller grid. To keep all pixels, prepare with --resize=0 --tile_size=1024 and train with
--config.data.tile_size=1024: the network then resamples to 256 and back on the device.

Published F1 of the building class (the authors' code, selected on test): 86.90. Not yet
measured here; `paper_base.py` says what differs from the authors' code.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import paper_base


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = paper_base.get_config("ss", "xview2_ss", positive_weight=3.0)
    config.train.batch_size = 8
    config.eval.batch_size = 4
    return config
