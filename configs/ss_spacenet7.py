"""The paper's setting for buildings on SpaceNet7 (Planet mosaics, 4 m).

    python -m data_prep spacenet7 --source=SPACENET7 --task=ss --data_dir=data
    python -m noise2map_jax.main --config=configs/ss_spacenet7.py
    python -m noise2map_jax.main --config=configs/ss_spacenet7.py --mode=eval

SPACENET7 is the folder that holds the owner's `train`. Needs an accelerator.

Published F1 of the building class (the authors' code): 72.02. Not yet
measured here; `paper_base.py` says what differs from the authors' code.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import paper_base


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = paper_base.get_config("ss", "spacenet7_ss", positive_weight=5.0)
    return config
