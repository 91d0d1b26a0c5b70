"""The paper's setting for buildings on WHU Building (aerial, 512 pixel tiles).

    python -m data_prep whu --source=WHU_TILES --task=ss --data_dir=data
    python -m noise2map_jax.main --config=configs/ss_whu.py
    python -m noise2map_jax.main --config=configs/ss_whu.py --mode=eval

WHU_TILES has {train,val,test}/{image,label}. Needs an accelerator.
As in the paper the 512 pixel tiles are resized to 256 (masks by nearest neighbour). To keep their
pixels, prepare with --resize=0 --tile_size=512 and train with --config.data.tile_size=512: the
network then resamples to 256 and back on the device.

Published F1 of the building class (the authors' code, selected on test): 95.69. Not yet
measured here; what differs from the authors' code stands in `paper_base.py`.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import paper_base


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = paper_base.get_config("ss", "whu_ss", positive_weight=10.0)
    return config
