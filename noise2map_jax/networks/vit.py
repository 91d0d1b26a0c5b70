"""Vision Transformer (Dosovitskiy et al. 2021) as an encoder, with the names of timm."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.attention import attention
from noise2map_jax.networks.layers import (
    Dropout,
    DropPath,
    drop_path_rates,
    layer_norm,
    linear,
    truncated_normal,
)
from noise2map_jax.networks.training import Training


class ViT(nn.Module):
    """ViT without its classifier and last LayerNorm; computes in the type of its input.

    Attributes:
        patch_size: side of patches in pixels.
        embed_dim: channels.
        depth: number of blocks.
        num_heads: heads of attention.
        mlp_ratio: hidden channels of the MLPs for a channel.
        img_size: rows and columns of the tiles, in pixels, that positions are learned for; for
            tiles of another size they are resampled (bicubic, smoothed where they shrink).
        output_indices: numbers of the blocks whose outputs are the features, from 0; None: four,
            at a quarter, half, three quarters and the end.
        dropout_rate: dropout after attention, in MLPs and of positions.
        drop_path_rate: stochastic depth of the last block, linearly from 0 in the first.
        param_dtype: type of the parameters.
    """

    patch_size: int = 16
    embed_dim: int = 384
    depth: int = 12
    num_heads: int = 6
    mlp_ratio: int = 4
    img_size: Sequence[int] = (224, 224)
    output_indices: Sequence[int] | None = None
    dropout_rate: float = 0.0
    drop_path_rate: float = 0.0
    param_dtype: Any = jnp.float32

    @property
    def feature_blocks(self) -> tuple[int, ...]:
        """Numbers of the blocks whose outputs are the features."""
        if self.output_indices is None:
            return tuple(self.depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4))
        return tuple(self.output_indices)

    @nn.compact
    def __call__(
        self, x: jax.Array, training: Training | None = None
    ) -> list[tuple[jax.Array, jax.Array]]:
        """Encode [B, H, W, C], where H and W are multiples of `patch_size`.

        Returns:
            For each feature its map [B, H / patch_size, W / patch_size, D] and its class token
            [B, 1, D].
        """
        types = {"param_dtype": self.param_dtype}
        batch, dim = x.shape[0], self.embed_dim
        x = PatchEmbedding(dim, self.patch_size, name="patch_embed", **types)(x)
        height, width = x.shape[1:3]
        token = self.param("cls_token", truncated_normal, (1, 1, dim), self.param_dtype)
        learned = [size // self.patch_size for size in self.img_size]
        shape = (1, 1 + learned[0] * learned[1], dim)
        positions = self.param("pos_embed", truncated_normal, shape, self.param_dtype)

        token = jnp.broadcast_to(token.astype(x.dtype), (batch, 1, dim))
        x = jnp.concatenate([token, x.reshape(batch, -1, dim)], axis=1)
        positions = resampled_positions(positions, learned, (height, width)).astype(x.dtype)
        x = Dropout(self.dropout_rate, name="pos_drop")(
            x + jnp.broadcast_to(positions, x.shape), training
        )
        features = []
        (rates,) = drop_path_rates(self.drop_path_rate, [self.depth])
        for number, rate in enumerate(rates):
            hidden = self.mlp_ratio * dim
            x = Block(
                self.num_heads, hidden, self.dropout_rate, rate, name=f"blocks_{number}", **types
            )(x, training)
            if number in self.feature_blocks:
                features.append((x[:, 1:].reshape(batch, height, width, dim), x[:, :1]))
        return features


class ViTEncoder(nn.Module):
    """ViT in a module of its own, as segmentation_models.pytorch keeps timm's: for its name."""

    model: ViT = ViT()

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Blocks and channels of its only stage."""
        return ((self.model.depth, self.model.embed_dim),)

    def __call__(
        self, x: jax.Array, training: Training | None = None
    ) -> list[tuple[jax.Array, jax.Array]]:
        """Encode [B, H, W, C] as `ViT` does."""
        return self.model(x, training)


def resampled_positions(
    positions: jax.Array, learned: Sequence[int], grid: Sequence[int]
) -> jax.Array:
    """Return positions for another grid of patches.

    Args:
        positions: [1, 1 + N, D], the class token's first.
        learned: rows and columns of the N patches.
        grid: rows and columns of the result.

    Returns:
        [1, 1 + rows * columns, D].
    """
    if tuple(learned) == tuple(grid):
        return positions
    dim = positions.shape[-1]
    patches = positions[:, 1:].reshape(1, *learned, dim)
    patches = jax.image.resize(patches, (1, *grid, dim), "cubic", antialias=True)
    return jnp.concatenate([positions[:, :1], patches.reshape(1, -1, dim)], axis=1)


class PatchEmbedding(nn.Module):
    """A convolution of patches that do not overlap."""

    features: int
    size: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H / size, W / size, features]."""
        return nn.Conv(
            self.features,
            (self.size, self.size),
            strides=self.size,
            padding="VALID",
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.lecun_normal(),
            name="proj",
        )(x)


class Block(nn.Module):
    """Attention and an MLP, each added to its input."""

    num_heads: int
    hidden: int
    dropout_rate: float
    drop_path_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, N, D] to [B, N, D]."""
        types = {"param_dtype": self.param_dtype}
        h = layer_norm(x, 1e-6, name="norm1", **types)
        h = Attention(self.num_heads, self.dropout_rate, name="attn", **types)(h, training)
        x = x + DropPath(self.drop_path_rate, name="drop_path1")(h, training)
        h = layer_norm(x, 1e-6, name="norm2", **types)
        h = MLP(self.hidden, self.dropout_rate, name="mlp", **types)(h, training)
        return x + DropPath(self.drop_path_rate, name="drop_path2")(h, training)


class Attention(nn.Module):
    """Attention of all tokens to all."""

    num_heads: int
    dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, N, D] to [B, N, D]."""
        types = {"param_dtype": self.param_dtype}
        dim = x.shape[-1]
        query, key, value = jnp.split(linear(x, 3 * dim, name="qkv", **types), 3, axis=-1)
        h = attention(query, key, value, num_heads=self.num_heads)
        h = linear(h, dim, name="proj", **types)
        return Dropout(self.dropout_rate, name="proj_drop")(h, training)


class MLP(nn.Module):
    """Linear, GELU, linear."""

    hidden: int
    dropout_rate: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, N, D] to [B, N, D]."""
        types = {"param_dtype": self.param_dtype}
        h = nn.gelu(linear(x, self.hidden, name="fc1", **types), approximate=False)
        h = Dropout(self.dropout_rate, name="drop1")(h, training)
        h = linear(h, x.shape[-1], name="fc2", **types)
        return Dropout(self.dropout_rate, name="drop2")(h, training)


VITS = {
    "vit_small_patch16_224": ViT(),
    "vit_base_patch16_224": ViT(embed_dim=768, num_heads=12),
}
