"""Changed buildings on real aerial pairs of LEVIR-CD, 0.5 m a pixel, with a thin backbone.

    python -m data_prep folder --source=LEVIR_CD --name=levir_cd --data_dir=data
    python -m noise2map_jax.main --config=configs/cd_levir.py
    python -m noise2map_jax.main --config=configs/cd_levir.py --mode=eval

LEVIR_CD has {train,val,test}/{A,B,label}.
"""

from ml_collections import ConfigDict

from configs import ss_buildings


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = ss_buildings.get_config()
    config.task = "cd"
    config.data.dataset = "levir_cd"
    config.data.classes = ("no_change", "change")
    config.augment.exchange_dates = True
    # The whole tile at half its resolution: for the same time four times the ground, and changes
    # of a size that a small network sees at once.
    config.augment.crop_size = 0
    config.model.sample_size = 128
    config.train.batch_size = 4
    config.train.num_steps = 700
    # t where the pair is nearly clean: around t = 258 both halves of the input are the same and
    # hold no change, which a short training cannot afford. The paper draws t from [0, 1000).
    config.noise.timestep_range = (900, 1000)
    config.train.class_weights = (1.0, 4.0)
    config.eval.group_regex = ""
    return config
