"""The config of the U-Net: the fields of diffusers' `UNet2DModel`, with checks."""

import dataclasses
from collections.abc import Sequence

from noise2map_jax.errors import UserError

DOWN_BLOCK_TYPES = ("DownBlock2D", "AttnDownBlock2D")
UP_BLOCK_TYPES = ("UpBlock2D", "AttnUpBlock2D")


def block_types(
    block_out_channels: Sequence[int], attention_levels: Sequence[int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the types of down and up blocks for attention at the given levels.

    Args:
        block_out_channels: channels of the levels, from full resolution downwards.
        attention_levels: indices of the down blocks with attention; the up blocks mirror them.

    Returns:
        `(down_block_types, up_block_types)` for `UNetConfig`.

    Raises:
        UserError: a level does not exist.
    """
    levels = len(block_out_channels)
    for level in attention_levels:
        if not 0 <= level < levels:
            raise UserError(
                f"attention_levels: level {level} does not exist, "
                f"block_out_channels has levels 0 to {levels - 1}"
            )
    down = tuple(DOWN_BLOCK_TYPES[level in attention_levels] for level in range(levels))
    up = tuple(UP_BLOCK_TYPES[level in attention_levels] for level in reversed(range(levels)))
    return down, up


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """The fields of diffusers' `UNet2DModel` config that shape the network, with its defaults."""

    sample_size: int | tuple[int, ...] | None = None  # size in training; has no effect
    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False  # 2 * sample - 1 before the first convolution
    time_embedding_type: str = "positional"  # or "fourier"
    time_embedding_dim: int | None = None  # None: 4 * block_out_channels[0]
    freq_shift: float = 0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("DownBlock2D",) + ("AttnDownBlock2D",) * 3
    up_block_types: tuple[str, ...] = ("AttnUpBlock2D",) * 3 + ("UpBlock2D",)
    block_out_channels: tuple[int, ...] = (224, 448, 672, 896)
    layers_per_block: int = 2
    mid_block_scale_factor: float = 1
    downsample_padding: int = 1  # 0: pad right and bottom by one, then a valid convolution
    attention_head_dim: int | None = 8  # None: one head of all channels
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None  # for the mid block's attention
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"  # or "scale_shift"
    add_attention: bool = True  # in the mid block

    def __post_init__(self):
        """Check all fields.

        Raises:
            UserError: a value is not supported; the message names the field, its value and the
                supported ones.
        """

        def require(ok: bool, field: str, expected: str) -> None:
            if not ok:
                raise UserError(f"U-Net {field}={getattr(self, field)!r}: expected {expected}")

        levels, channels = len(self.block_out_channels), self.block_out_channels
        require(levels > 0 and min(channels) > 0, "block_out_channels", "one or more widths > 0")
        for field, known in (
            ("down_block_types", DOWN_BLOCK_TYPES),
            ("up_block_types", UP_BLOCK_TYPES),
        ):
            names = getattr(self, field)
            require(set(names) <= set(known), field, f"only {' and '.join(known)}")
            require(len(names) == levels, field, f"{levels} names, one a level, got {len(names)}")
        for field in ("in_channels", "out_channels", "layers_per_block", "norm_num_groups"):
            require(getattr(self, field) > 0, field, "a whole number > 0")
        groups = self.norm_num_groups
        require(
            all(width % groups == 0 for width in channels),
            "block_out_channels",
            f"every width divisible by norm_num_groups={groups}",
        )
        require(
            self.attn_norm_num_groups is None
            or (self.attn_norm_num_groups > 0 and channels[-1] % self.attn_norm_num_groups == 0),
            "attn_norm_num_groups",
            f"a divisor of the last width, {channels[-1]}",
        )
        require(
            self.time_embedding_dim is None or self.time_embedding_dim > 0,
            "time_embedding_dim",
            "None or a whole number > 0",
        )
        require(self.mid_block_scale_factor > 0, "mid_block_scale_factor", "a number > 0")
        require(self.downsample_padding in (0, 1), "downsample_padding", "0 or 1")
        require(
            self.time_embedding_type in ("positional", "fourier"),
            "time_embedding_type",
            "'positional' or 'fourier'",
        )
        require(
            self.resnet_time_scale_shift in ("default", "scale_shift"),
            "resnet_time_scale_shift",
            "'default' or 'scale_shift'",
        )
        require(
            self.time_embedding_type == "fourier" or channels[0] // 2 > self.freq_shift,
            "freq_shift",
            f"less than half the first width, {channels[0] // 2}",
        )
        attended = [w for w, t in zip(channels, self.down_block_types, strict=True) if "Attn" in t]
        attended += [
            w for w, t in zip(channels[::-1], self.up_block_types, strict=True) if "Attn" in t
        ]
        attended += [channels[-1]] if self.add_attention else []
        head_dim = self.attention_head_dim
        require(
            head_dim is None or all(0 < head_dim <= width for width in attended),
            "attention_head_dim",
            f"None or 1 to {min(attended, default=0)}, the smallest width with attention",
        )
