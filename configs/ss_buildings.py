r"""Buildings on real images of many sources, 0.05 to 1 m a pixel, with a thin backbone.

It begins with weights that come with the project, of drawn_ss.py. About 20 minutes on one CPU core:

    python -m data_prep folder --source=BUILDINGS --name=buildings --data_dir=data \
        --group_regex='(?:inria.*__|spacenet.*AOI_._|^)([A-Za-z_]+?)_*(?:\d|img|$)'
    python -m noise2map_jax.main --config=configs/ss_buildings.py
    python -m noise2map_jax.main --config=configs/ss_buildings.py --mode=eval

docs/recipes.md says what it reaches and what each part gives. --config.init_from= begins with
random values.

`--config=configs/ss_buildings.py:quick` is an earlier version without patches, that of the studies
and of other networks; it had 54.3 % on validation (five seeds, at the learning rate of 3e-4).

BUILDINGS has {train,val,test}/{images,masks}. The pattern finds the city or mosaic in names such as
inria_256__austin1_10.tif: all images of a city or mosaic count as one place, in scores and in
splits. For the full backbone, on an accelerator, take the fields of `model.unet` from default.py:
--config.model.unet.block_out_channels=128,128,256,256,512,512 and so on, with --config.init_from=.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import default, drawn_ss
from noise2map_jax.errors import UserError


def get_config(argument: str = "") -> ConfigDict:
    """Return the experiment; `quick` has no patches, and takes ten minutes on two CPU cores."""
    if argument not in ("", "quick"):
        raise UserError(f"no version {argument!r}; expected none, or quick")
    config = _without_patches() if argument else _after_drawn_scenes()
    config.data.dataset = "buildings"
    config.eval.group_regex = r"([a-z0-9_]+?)__"  # the first part of a file's name: its source
    return config


def _after_drawn_scenes() -> ConfigDict:
    config = drawn_ss.get_config()
    config.init_from = "shipped:drawn_ss"
    config.init_parts = "all"
    # Images of drones and satellites differ in scale: a house has 20 to 200 pixels.
    config.augment.zoom = (0.5, 1.2)
    # Seven of eight training images come from two places.
    config.train.place_power = 0.5
    config.train.class_weights = (1.0, 1.5)
    config.train.num_steps = 1400
    config.train.ema_decay = 0.99
    # Weights between those of drawn scenes and the trained ones: on validation better than both.
    config.train.initial_share = 0.3
    config.train.eval_every_steps = 350
    # Chosen on validation, where maps gain 1.6 points over tiles of a crop; on test they gain none.
    config.eval.map_tile_size = 384
    return config


def _without_patches() -> ConfigDict:
    config = default.get_config()
    config.task = "ss"
    config.augment.crop_size = 96
    config.augment.brightness = 0.2
    config.augment.contrast = 0.3
    config.model.sample_size = 0
    config.model.unet.in_channels = 16
    config.model.unet.out_channels = 16
    config.model.unet.block_out_channels = (16, 32, 64, 96)
    config.model.unet.layers_per_block = 1
    config.model.unet.attention_levels = ()
    config.model.unet.norm_num_groups = 8
    config.train.batch_size = 8
    config.train.num_steps = 500
    config.train.learning_rate = 3e-3
    config.train.warmup_steps = 50
    config.train.cosine = True
    config.train.max_gradient_norm = 1.0
    config.train.ema_decay = 0.98
    config.train.class_weights = (1.0, 2.0)
    config.train.eval_every_steps = 100
    return config
