"""The paper's setting for changed buildings on WHU Building (aerial, 2012 and 2016).

    python -m data_prep whu --source=WHU_CHANGE --task=cd --data_dir=data
    python -m noise2map_jax.main --config=configs/cd_whu.py
    python -m noise2map_jax.main --config=configs/cd_whu.py --mode=eval

WHU_CHANGE holds the two mosaics and their change label, or crops {A,B,OUT}. Needs an accelerator.

Published F1 of the building class (the authors' code, selected on test): 95.27. Not yet
measured here; `paper_base.py` says what differs from the authors' code.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import paper_base


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = paper_base.get_config("cd", "whu_cd", positive_weight=1.0)
    config.train.num_epochs = 500.0
    return config
