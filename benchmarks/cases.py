"""What the benchmark `network` measures: a network by its name, at a size."""

import dataclasses

from ml_collections import ConfigDict

from noise2map_jax.configs import default
from noise2map_jax.experiment.components import create_problem, create_process
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.method.noise import NoiseProcess
from noise2map_jax.networks.rivals import RIVALS

BACKBONES = {  # Noise2Map's: fields of model.unet
    "thin": {
        "block_out_channels": (16, 32, 64, 96),
        "attention_levels": (),
        "norm_num_groups": 8,
    },
    "full": {},  # the paper's
    "tiny": {  # of one level, for tests
        "block_out_channels": (8,),
        "layers_per_block": 1,
        "attention_levels": (),
        "add_attention": False,
        "norm_num_groups": 4,
    },
}
NETWORKS = (*BACKBONES, *RIVALS)  # rivals have their published sizes


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement of a network.

    Attributes:
        network: one of `NETWORKS`.
        batch_size: images, or pairs, in a call.
        tile_size: their side in pixels.
        dtype: compute type, `float32` or `bfloat16`.
        repeats: number of timed calls, after one to warm up.
    """

    network: str
    batch_size: int
    tile_size: int
    dtype: str
    repeats: int

    @property
    def task(self) -> str:
        """Key of the network's task."""
        return "ss" if self.network in BACKBONES else RIVALS[self.network].tasks[0]

    def config(self) -> ConfigDict:
        """Return the experiment: three bands, two classes, Adam, no averages."""
        config = default.get_config()
        config.task = self.task
        config.data.tile_size = self.tile_size
        config.model.dtype = self.dtype
        if self.network in BACKBONES:
            config.model.unet.update(BACKBONES[self.network])
            config.model.sample_size = 0  # no resampling
        else:
            config.model.name = self.network
        config.train.batch_size = self.batch_size
        config.train.num_microbatches = 1
        config.train.ema_decay = 0.0
        config.train.max_gradient_norm = 0.0
        if self.network == "ddpmcd":  # as published: the denoiser stays as it is
            config.train.backbone_learning_rate_factor = 0.0
        return config

    def problem(self) -> tuple[Problem, NoiseProcess]:
        """Return the static part of a step, and the noise of it."""
        config = self.config()
        return create_problem(config, create_model(config), (1.0, 5.0)), create_process(config)
