"""The backbones that benchmarks measure, and the settings of a measurement."""

import dataclasses

from noise2map_jax.network.unet import UNetConfig, block_types

BACKBONES = {  # channels, levels with attention, groups of a normalisation layer
    "thin": ((16, 32, 64, 96), (), 8),
    "full": ((128, 128, 256, 256, 512, 512), (4,), 32),  # the paper's
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement of a network.

    Attributes:
        backbone: a key of `BACKBONES`.
        batch_size: images in a call.
        tile_size: their side in pixels.
        dtype: compute type, `float32` or `bfloat16`.
        repeats: number of timed calls, after one to warm up.
    """

    backbone: str
    batch_size: int
    tile_size: int
    dtype: str
    repeats: int


def backbone_config(name: str) -> UNetConfig:
    """Return the configuration of a backbone by its name."""
    channels, attention, groups = BACKBONES[name]
    down, up = block_types(channels, attention)
    return UNetConfig(
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=None,
        add_attention=bool(attention),
        norm_num_groups=groups,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
