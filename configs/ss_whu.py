"""The paper's setting for buildings on WHU Building (aerial, 512 pixel tiles).

    python -m data_prep whu --source=WHU_TILES --task=ss --data_dir=data
    python -m noise2map_jax.main --config=configs/ss_whu.py
    python -m noise2map_jax.main --config=configs/ss_whu.py --mode=eval

WHU_TILES has {train,val,test}/{image,label}. Needs an accelerator.
As in the paper, the tiles of 512 pixels are resized to 256 (masks by nearest neighbour). To keep
all pixels, prepare with --resize=0 --tile_size=512 and train with --config.data.tile_size=512: the
network then resamples to 256 and back on the device.

Published F1 of the building class (the authors' code, selected on test): 95.69. Not yet
measured here; `paper_base.py` says what differs from the authors' code.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import paper_base


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = paper_base.get_config("ss", "whu_ss", positive_weight=10.0)
    return config
