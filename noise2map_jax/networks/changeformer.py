"""ChangeFormer V6 (Bandara, Patel 2022): change detection with a hierarchical transformer.

Facts were read in the authors' code (wgcban/ChangeFormer, MIT).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.change_decoder import enlarge_to_image, fuse_scales
from noise2map_jax.networks.dates import encode_dates
from noise2map_jax.networks.layers import convolution, linear
from noise2map_jax.networks.mit import MiT
from noise2map_jax.networks.resizing import resize
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training


class Projection(nn.Module):
    """A linear layer on a level of its own, as the authors name it."""

    features: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        types = {"param_dtype": self.param_dtype}
        return linear(x, self.features, name="proj", **types)


class Decoder(nn.Module):
    """Differences of the dates from the deepest stage to the finest, fused and enlarged."""

    num_classes: int
    width: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        pre: Sequence[jax.Array],
        post: Sequence[jax.Array],
        training: Training | None = None,
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Map features of both dates, fine to deep, to logits.

        Returns:
            Logits [B, H, W, num_classes] of the image, and side outputs
            [B, h, w, num_classes] of each stage, deep to fine; all float32.
        """
        types = {"param_dtype": self.param_dtype}
        differences: list[jax.Array] = []  # deep to fine
        sides = []
        for stage in range(len(pre), 0, -1):
            dates = pre[stage - 1], post[stage - 1]
            project = Projection(self.width, name=f"linear_c{stage}", **types)
            both = jnp.concatenate([project(date) for date in dates], axis=-1)
            difference = nn.relu(self._convolve_twice(f"diff_c{stage}", self.width, both, training))
            if differences:
                difference = difference + resize(
                    differences[-1], *difference.shape[1:3], align_corners=False
                )
            differences.append(difference)
            side = self._convolve_twice(
                f"make_pred_c{stage}", self.num_classes, difference, training
            )
            sides.append(side.astype(jnp.float32))
        h = fuse_scales(differences[::-1], self.width, training, **types)
        return enlarge_to_image(h, self.num_classes, **types), sides

    def _convolve_twice(
        self, name: str, features: int, x: jax.Array, training: Training | None
    ) -> jax.Array:
        """Convolve twice, with ReLU and batch normalisation, in this order, in between."""
        options: Any = {"use_bias": True, "param_dtype": self.param_dtype}
        h = nn.relu(convolution(x, features, 3, name=f"{name}_0", **options))
        h = BatchNorm(param_dtype=self.param_dtype, name=f"{name}_2")(h, training)
        return convolution(h, features, 3, name=f"{name}_3", **options)


class ChangeFormer(nn.Module):
    """ChangeFormer V6: pairs [pre, post] -> logits of the change.

    The encoder is SegFormer's with 7x7 patches in all stages, other depths and other heads, so
    SegFormer's weights fit only where shapes agree. Both dates are encoded as one batch: nothing
    in the encoder depends on other images. Only the decoder has batch normalisation, after the
    dates are joined. Initial values are as in `layers` and `transposed_convolution`.

    Attributes:
        num_classes: number of outputs.
        depths: blocks of each stage.
        embed_dims: channels of each stage.
        num_heads: heads of each stage.
        mlp_ratios: hidden channels of the MLPs for a channel of each stage.
        sr_ratios: side of the squares that keys and values are reduced by.
        patch_sizes: side of the kernels that begin the stages, odd.
        decoder_dim: channels of the decoder.
        dropout_rate: dropout after attention and in MLPs of the encoder.
        attention_dropout_rate: dropout of the weights of attention.
        drop_path_rate: stochastic depth of the last block, linearly from 0 in the first.
        dtype: compute type; logits are always float32.
        param_dtype: type of the parameters.
    """

    num_classes: int
    depths: Sequence[int] = (3, 3, 4, 3)
    embed_dims: Sequence[int] = (64, 128, 320, 512)
    num_heads: Sequence[int] = (1, 2, 4, 8)
    mlp_ratios: Sequence[int] = (4, 4, 4, 4)
    sr_ratios: Sequence[int] = (8, 4, 2, 1)
    patch_sizes: Sequence[int] = (7, 7, 7, 7)
    decoder_dim: int = 256
    dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.1
    drop_path_rate: float = 0.1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        return MiT(embed_dims=self.embed_dims, sr_ratios=self.sr_ratios, parent=None).stride

    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map pairs [B, H, W, C], the earlier date first, to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, or C is odd.
        """
        return self.with_side_outputs(x, training)[0]

    @nn.compact
    def with_side_outputs(
        self, x: jax.Array, training: Training | None = None
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Predict the change at every stage, too, as the authors' losses need it.

        Args:
            x: as in a call.
            training: as in a call.

        Returns:
            Logits [B, H, W, num_classes], and side outputs [B, H/s, W/s, num_classes] for s = 32,
            16, 8, 4; all float32.

        Raises:
            UserError: as in a call.
        """
        check_tile_size(self, x)
        types = {"param_dtype": self.param_dtype}
        encoder = MiT(
            depths=self.depths,
            embed_dims=self.embed_dims,
            num_heads=self.num_heads,
            sr_ratios=self.sr_ratios,
            patch_sizes=self.patch_sizes,
            mlp_ratios=self.mlp_ratios,
            drop_path_rate=self.drop_path_rate,
            dropout_rate=self.dropout_rate,
            attention_dropout_rate=self.attention_dropout_rate,
            name="Tenc_x2",
            **types,
        )
        # Before the stages there are the input and nothing.
        (_, _, *pre), (_, _, *post) = encode_dates(encoder, x.astype(self.dtype), training)
        return Decoder(self.num_classes, self.decoder_dim, name="TDec_x2", **types)(
            pre, post, training
        )
