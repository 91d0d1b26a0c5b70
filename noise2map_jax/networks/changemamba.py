"""ChangeMamba for binary change (MambaBCD; Chen et al. 2024): selective scans over both dates.

Facts were read in the authors' code (ChenHongruixuan/MambaCD, Apache-2.0).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.dates import encode_dates
from noise2map_jax.networks.layers import conv_norm_relu, convolution, last_layer
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.vmamba import VMamba, VSSBlock


class ResBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, added to their input."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        h = x
        for number in (1, 2):
            h = nn.relu(h) if number > 1 else h
            h = convolution(h, x.shape[-1], 3, name=f"conv{number}", **types)
            h = BatchNorm(name=f"bn{number}", **types)(h, training)
        return nn.relu(x + h)


class ChangeDecoder(nn.Module):
    """Selective scans over both dates at every stage, added up from the deepest to the finest.

    Attributes:
        width: channels.
        ssm_ratio, state_dim, mlp_ratio: as in `VMamba`.
        drop_path_rate: stochastic depth of all blocks.
        param_dtype: type of the parameters.
    """

    width: int
    ssm_ratio: float
    state_dim: int
    mlp_ratio: float
    drop_path_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        pre: Sequence[jax.Array],
        post: Sequence[jax.Array],
        training: Training | None = None,
    ) -> jax.Array:
        """Map features of both dates, fine to deep, to [B, h, w, width] of the finest."""
        types = {"param_dtype": self.param_dtype}
        x = None
        for stage in range(len(pre), 0, -1):
            joined = self._join(stage, pre[stage - 1], post[stage - 1], training)
            if x is None:
                x = joined
                continue
            x = joined + resize(x, *joined.shape[1:3], align_corners=False)
            x = ResBlock(name=f"smooth_layer_{stage}", **types)(x, training)
        assert x is not None
        return x

    def _join(
        self, stage: int, pre: jax.Array, post: jax.Array, training: Training | None
    ) -> jax.Array:
        """Scan both dates, [B, H, W, C], in three arrangements; fuse them to [B, H, W, width].

        The arrangements: channels of both dates together; columns of both dates in turn; the later
        image to the right of the earlier one.
        """
        batch, height, width, _ = pre.shape
        together = self._scan(f"{stage}1", jnp.concatenate([pre, post], axis=-1), training)
        in_turn = jnp.stack([pre, post], axis=3).reshape(batch, height, 2 * width, -1)
        in_turn = self._scan(f"{stage}2", in_turn, training)
        beside = self._scan(f"{stage}3", jnp.concatenate([pre, post], axis=2), training)
        parts = (
            together,
            in_turn[:, :, ::2],
            in_turn[:, :, 1::2],
            beside[:, :, :width],
            beside[:, :, width:],
        )
        return conv_norm_relu(
            jnp.concatenate(parts, axis=-1),
            self.width,
            1,
            training,
            name=f"fuse_layer_{stage}",
            use_bias=True,
            param_dtype=self.param_dtype,
        )

    def _scan(self, number: str, x: jax.Array, training: Training | None) -> jax.Array:
        name, types = f"st_block_{number}", {"param_dtype": self.param_dtype}
        x = convolution(x, self.width, 1, use_bias=True, name=f"{name}_0", **types)
        shape = (self.ssm_ratio, self.state_dim, self.mlp_ratio, self.drop_path_rate)
        return VSSBlock(*shape, name=f"{name}_2", **types)(x, training)


class ChangeMamba(nn.Module):
    """MambaBCD-Tiny: pairs [pre, post] -> logits of the change.

    Both dates are encoded as one batch: nothing in the encoder depends on other images. Only the
    decoder has batch normalisation, after the dates are joined.

    Attributes:
        num_classes: number of outputs.
        embed_dims: channels of the encoder's stages.
        depths: blocks of each stage.
        ssm_ratio: channels in a scan for a channel.
        state_dim: states of a channel.
        mlp_ratio: hidden channels of the MLPs for a channel.
        decoder_dim: channels of the decoder.
        drop_path_rate: stochastic depth of the encoder's last block, linearly from 0 in the first.
        decoder_drop_path_rate: stochastic depth of the decoder's blocks.
        dtype: compute type; scans and logits are always float32.
        param_dtype: type of the parameters.
    """

    num_classes: int
    embed_dims: Sequence[int] = (96, 192, 384, 768)
    depths: Sequence[int] = (2, 2, 4, 2)
    ssm_ratio: float = 2.0
    state_dim: int = 1
    mlp_ratio: float = 4.0
    decoder_dim: int = 128
    drop_path_rate: float = 0.2
    decoder_drop_path_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        return VMamba(self.embed_dims, parent=None).stride

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map pairs [B, H, W, C], the earlier date first, to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, C is odd, or the numbers of `depths`
                and `embed_dims` differ.
        """
        check_tile_size(self, x)
        types = {"param_dtype": self.param_dtype}
        shape = (self.ssm_ratio, self.state_dim, self.mlp_ratio)
        encoder = VMamba(
            self.embed_dims, self.depths, *shape, self.drop_path_rate, name="encoder", **types
        )
        pre, post = encode_dates(encoder, x.astype(self.dtype), training)
        decoder = ChangeDecoder(
            self.decoder_dim, *shape, self.decoder_drop_path_rate, name="decoder", **types
        )
        h = decoder(pre, post, training)
        logits = last_layer(h, self.num_classes, 1, name="main_clf", **types)
        return resize(logits, *x.shape[1:3], align_corners=False)
