"""Buildings on drawn scenes, for the network of `ss_buildings`: real images are to follow.

    python -m data_prep synthetic --task=ss --name=drawn_ss --data_dir=data \
        --num_scenes=2000,20,20 --scene_size=256 --tile_size=256 --seed=7 --towns=suburb,city
    python -m noise2map_jax.main --config=configs/drawn_ss.py

Its weights come with the project, `shipped:drawn_ss`. Train it again for a network of another
shape: 21 to 23 minutes on one CPU core.

Drawn scenes cost nothing and have exact masks. A network learns from them that a building has
straight edges and a shadow, which few real images teach it. Half of them show suburbs, half show
cities, villages of huts and industry, where roofs are as grey as the ground: see docs/recipes.md
for what that gives. The light, the scale and the sharpness of the scenes vary more than in other
configs, so that it does not learn how the drawn ones look.
"""

from ml_collections import ConfigDict

from noise2map_jax.configs import default


def get_config() -> ConfigDict:
    """Return the experiment."""
    config = default.get_config()
    config.task = "ss"
    config.data.dataset = "drawn_ss"
    patches_of_4(config)
    strong_augmentation(config)
    # Up to 4: houses on images of drones are larger than the drawn ones.
    config.augment.zoom = (0.7, 4.0)
    config.train.batch_size = 16
    config.train.num_steps = 1800
    config.train.learning_rate = 1e-3
    config.train.warmup_steps = 30
    config.train.cosine = True
    config.train.max_gradient_norm = 1.0
    config.train.ema_decay = 0.98
    config.train.class_weights = (1.0, 1.0)
    config.train.eval_every_steps = 900
    return config


def patches_of_4(config: ConfigDict) -> None:
    """Give the backbone 4 x 4 pixels as one: it sees 16 times the ground for the same arithmetic.

    With 3.5 million parameters it takes a tile of 256 x 256 pixels as 64 x 64 patches.
    """
    config.model.sample_size = 0
    config.model.patch_size = 4
    config.model.unet.in_channels = 48  # 4 * 4 pixels of three bands
    config.model.unet.out_channels = 32  # 4 * 4 pixels of two classes
    config.model.unet.block_out_channels = (32, 64, 96, 128)
    config.model.unet.layers_per_block = 1
    config.model.unet.attention_levels = ()
    config.model.unet.norm_num_groups = 8


def strong_augmentation(config: ConfigDict) -> None:
    """Show half of a tile's side at another scale, light, colour and sharpness each time."""
    config.augment.crop_size = 128
    config.augment.brightness = 0.3
    config.augment.contrast = 0.4
    config.augment.colour = 0.15
    config.augment.blur = 1.0
