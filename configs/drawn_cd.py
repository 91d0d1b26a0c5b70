"""Changed buildings on drawn pairs, for the network of `cd_levir`: real pairs are to follow.

    python -m data_prep synthetic --task=cd --name=drawn_cd --data_dir=data \
        --num_scenes=2000,20,20 --scene_size=256 --tile_size=256 --seed=7
    python -m noise2map_jax.main --config=configs/drawn_cd.py

As `drawn_ss` for pairs: see there. Its weights are `shipped:drawn_cd`; 28 minutes on one CPU core.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import drawn_ss


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = drawn_ss.get_config()
    config.task = "cd"
    config.data.dataset = "drawn_cd"
    config.data.classes = ("no_change", "change")
    config.model.unet.in_channels = 96  # 4 * 4 pixels of two dates of three bands
    # Here the pair is nearly clean. Around t = 258 both halves of the input are the same and hold
    # no change. The paper draws t from [0, 1000).
    config.noise.timestep_range = (900, 1000)
    config.train.class_weights = (1.0, 2.0)
    return config
