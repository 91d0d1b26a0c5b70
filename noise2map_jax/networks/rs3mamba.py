"""RS3Mamba (Ma et al. 2024): a ResNet whose layers are fused with those of a VMamba.

Facts were read in the authors' code (sstary/SSRS, Apache-2.0).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.global_local_attention import MLP, GlobalLocalAttention
from noise2map_jax.networks.layers import Conv, he_normal
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.unetformer_decoder import UNetFormerDecoder
from noise2map_jax.networks.vssm import VSSM

STRIDES = (4, 8, 16, 32)  # of the stages


class FusionBlock(nn.Module):
    """Attention over the ResNet's map and convolutions of the VMamba's, added to the former."""

    num_heads: int
    window_size: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, scanned: jax.Array, training: Training | None = None
    ) -> jax.Array:
        """Map [B, H, W, C] and [B, H, W, D] to [B, H, W, C]."""
        types = {"param_dtype": self.param_dtype}
        attention = GlobalLocalAttention(self.num_heads, self.window_size, name="attn", **types)
        x = x + attention(
            BatchNorm(name="normx", **types)(x, training),
            BatchNorm(name="normy", **types)(scanned, training),
            training,
        )
        return x + MLP(name="mlp", **types)(BatchNorm(name="norm2", **types)(x, training))


class RS3Mamba(nn.Module):
    """RS3Mamba: images -> logits.

    Each of the ResNet's layers sees what the fusion made of the one before. The authors' files hold
    the ResNet twice, under two names; here it is there once, as `backbone`.

    Attributes:
        num_classes: number of outputs.
        backbone: the ResNet, of four layers.
        stem_width: channels of the convolution before the scans.
        vssm_width: channels of the first stage of scans; each has twice those of the one before.
        vssm_depths: number of scans of each of four stages.
        state_dim: states of a channel in a scan.
        drop_path_rate: stochastic depth of the last scan, linearly from 0 in the first.
        fusion_heads: heads of attention in the fusion.
        decoder_dim: channels of the decoder.
        decoder_heads: heads of attention in the decoder.
        window_size: side of the windows of attention in pixels, even.
        dropout_rate: dropout of whole channels before the last layer.
        dtype: compute type; scans and logits are always float32.
        param_dtype: type of the parameters; the backbone has its own.
    """

    num_classes: int
    backbone: Any = ResNet()
    stem_width: int = 48
    vssm_width: int = 96
    vssm_depths: Sequence[int] = (2, 2, 9, 2)
    state_dim: int = 16
    drop_path_rate: float = 0.2
    fusion_heads: int = 16
    decoder_dim: int = 64
    decoder_heads: int = 8
    window_size: int = 8
    dropout_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        stride: int = self.backbone.stride
        return stride

    def _check_stages(self) -> None:
        """Check that a layer of the ResNet and a stage of scans have maps of the same size."""
        depths, strides = len(self.vssm_depths), tuple(self.backbone.feature_strides[2:])
        if depths != len(STRIDES):
            raise UserError(
                f"RS3Mamba: vssm_depths has {depths} numbers; give {len(STRIDES)}, one a stage"
            )
        if strides != STRIDES:
            raise UserError(
                f"RS3Mamba: the layers of the backbone have strides {strides}, its scans {STRIDES};"
                " leave the backbone's strides and the number of its blocks as they are"
            )

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map images [B, H, W, C] to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, stages are not four of these strides,
                or heads do not divide channels.
        """
        self._check_stages()
        check_tile_size(self, x)
        types = {"param_dtype": self.param_dtype}
        image = x.astype(self.dtype)
        stem = Conv(
            self.stem_width,
            (7, 7),
            strides=2,
            padding=3,
            dtype=self.dtype,
            kernel_init=he_normal,
            name="stem_0",
            **types,
        )(image)
        # Instance normalisation: a group for each channel.
        stem = nn.GroupNorm(
            num_groups=None,
            group_size=1,
            epsilon=1e-5,
            use_fast_variance=False,
            dtype=self.dtype,
            name="stem_1",
            **types,
        )(stem)
        scanned = VSSM(
            width=self.vssm_width,
            depths=self.vssm_depths,
            state_dim=self.state_dim,
            drop_path_rate=self.drop_path_rate,
            name="vssm_encoder",
            **types,
        )(stem, training)
        # Made here, so that they belong to this module; the ResNet calls them between its layers.
        fusions = [
            FusionBlock(self.fusion_heads, self.window_size, name=f"Fuse_{number}", **types)
            for number in range(len(STRIDES))
        ]

        def fuse(layer: int, h: jax.Array) -> jax.Array:
            fused: jax.Array = fusions[layer](h, scanned[layer], training)
            return fused

        _, _, *features = self.backbone(image, training, fuse)
        logits = UNetFormerDecoder(
            self.num_classes,
            self.decoder_dim,
            self.decoder_heads,
            self.window_size,
            self.dropout_rate,
            name="decoder",
            **types,
        )(features, training)
        return resize(logits, *x.shape[1:3], align_corners=False)
