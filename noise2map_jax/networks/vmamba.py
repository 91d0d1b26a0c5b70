"""VMamba (Liu et al. 2024), an encoder of selective scans over maps in four directions.

Facts were read in VMamba (MzeroMiko, MIT) and in what ChangeMamba makes of it
(ChenHongruixuan/MambaCD, Apache-2.0). Modules have the authors' names.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import (
    DropPath,
    convolution,
    drop_path_rates,
    layer_norm,
    linear,
    truncated_normal,
)
from noise2map_jax.networks.selective_scan import selective_scan
from noise2map_jax.networks.training import Training

NUM_DIRECTIONS = 4
EPSILON = 1e-5
# Least and greatest step size at the start.
STEP_SIZES = (1e-3, 0.1)


def four_ways(x: jax.Array) -> jax.Array:
    """Read maps [B, H, W, C] as four sequences [B, 4, H W, C].

    The first runs along rows, the second along columns, the others are these two backwards.
    """
    batch, height, width, channels = x.shape
    rows = x.reshape(batch, height * width, channels)
    columns = x.swapaxes(1, 2).reshape(batch, height * width, channels)
    both = jnp.stack([rows, columns], axis=1)
    return jnp.concatenate([both, both[:, :, ::-1]], axis=1)


def merge_four_ways(y: jax.Array, height: int, width: int) -> jax.Array:
    """Add up four sequences [B, 4, H W, C] where their pixels were: [B, H, W, C]."""
    batch, _, _, channels = y.shape
    rows, columns = jnp.split(y[:, :2] + y[:, 2:, ::-1], 2, axis=1)
    columns = columns.reshape(batch, width, height, channels).swapaxes(1, 2)
    return rows.reshape(batch, height, width, channels) + columns


def _step_bias(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
    """Draw biases whose softplus is log-uniform over `STEP_SIZES` (Gu, Dao 2023)."""
    low, high = map(math.log, STEP_SIZES)
    sizes = jnp.exp(jax.random.uniform(key, shape, jnp.float32, low, high))
    return (sizes + jnp.log(-jnp.expm1(-sizes))).astype(dtype)


def _uniform(fan: int) -> Any:
    """Return initial values, uniform between plus and minus 1 / sqrt(fan)."""

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -(fan**-0.5), fan**-0.5)

    return draw


def _log_states(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
    """Return log(1), ..., log(N) for each channel, [4 D, N]."""
    return jnp.broadcast_to(jnp.log(jnp.arange(1, shape[1] + 1, dtype=dtype)), shape)


class SS2D(nn.Module):
    """Selective scans of a map in four directions, whose results are added up.

    Attributes:
        ratio: channels in the scan for a channel of the input.
        state_dim: states of a channel.
        gated: whether a second projection of the input, after SiLU, multiplies the result.
        conv_bias: whether the convolution before the scan has a bias.
        param_dtype: type of the parameters.
    """

    ratio: float = 2.0
    state_dim: int = 1
    gated: bool = False
    conv_bias: bool = False
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        _, height, width, channels = x.shape
        inner, rank = int(self.ratio * channels), math.ceil(channels / 16)
        h = self._linear("in_proj", inner * (1 + self.gated), x)
        h, gate = h[..., :inner], h[..., inner:]
        options: Any = {"groups": inner, "use_bias": self.conv_bias, **types}
        h = convolution(h, inner, 3, name="conv2d", **options)
        y = self._scan(four_ways(nn.silu(h)), rank)
        y = layer_norm(merge_four_ways(y, height, width), EPSILON, name="out_norm", **types)
        y = y.astype(x.dtype)
        return self._linear("out_proj", channels, y * nn.silu(gate) if self.gated else y)

    def _linear(self, name: str, features: int, x: jax.Array) -> jax.Array:
        return nn.Dense(
            features,
            use_bias=False,
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            kernel_init=truncated_normal,
            name=name,
        )(x)

    def _scan(self, x: jax.Array, rank: int) -> jax.Array:
        """Scan sequences [B, 4, L, D]; the result is float32."""
        ways, inner, states = NUM_DIRECTIONS, x.shape[-1], self.state_dim

        def parameter(name: str, initial: Any, *shape: int) -> jax.Array:
            value: jax.Array = self.param(name, initial, shape, self.param_dtype)
            return value

        ones = nn.initializers.ones
        into = parameter("x_proj_weight", _uniform(inner), ways, rank + 2 * states, inner)
        steps = parameter("dt_projs_weight", _uniform(rank), ways, inner, rank)
        bias = parameter("dt_projs_bias", _step_bias, ways, inner)
        rates = -jnp.exp(parameter("A_logs", _log_states, ways * inner, states))
        direct = parameter("Ds", ones, ways * inner)

        projected = jnp.einsum("bkld,kpd->bklp", x, into.astype(x.dtype))
        delta, b, c = jnp.split(projected, [rank, rank + states], axis=-1)
        delta = jnp.einsum("bklr,kdr->bkld", delta, steps.astype(x.dtype))
        # A step size in few digits would be raised to the power of a long sequence.
        delta = jax.nn.softplus(delta.astype(jnp.float32) + bias[None, :, None].astype(jnp.float32))
        arguments = (
            x,
            delta,
            rates.reshape(ways, inner, states),
            b,
            c,
            direct.reshape(ways, inner),
        )
        return jax.vmap(selective_scan, in_axes=(1, 1, 0, 1, 1, 0), out_axes=1)(*arguments)


class MLP(nn.Module):
    """Two linear layers with GELU in between."""

    ratio: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        h = linear(x, int(self.ratio * x.shape[-1]), name="fc1", **types)
        return linear(nn.gelu(h, approximate=False), x.shape[-1], name="fc2", **types)


class VSSBlock(nn.Module):
    """A selective scan and an MLP, each over LayerNorm and added to its input.

    Attributes:
        ssm_ratio: `SS2D.ratio`.
        state_dim: `SS2D.state_dim`.
        mlp_ratio: hidden channels of the MLP for a channel.
        drop_path_rate: stochastic depth of both.
        param_dtype: type of the parameters.
    """

    ssm_ratio: float = 2.0
    state_dim: int = 1
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.0
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        types = {"param_dtype": self.param_dtype}
        h = layer_norm(x, EPSILON, name="norm", **types)
        h = SS2D(self.ssm_ratio, self.state_dim, name="op", **types)(h)
        x = x + DropPath(self.drop_path_rate, name="drop_path")(h, training)
        h = MLP(self.mlp_ratio, name="mlp", **types)(layer_norm(x, EPSILON, name="norm2", **types))
        return x + DropPath(self.drop_path_rate, name="drop_path2")(h, training)


class Stage(nn.Module):
    """Blocks of one resolution, and the convolution that leads to the next one.

    Attributes:
        rates: stochastic depth of each block.
        next_width: channels of the next stage; 0 = there is none.
        ssm_ratio: `SS2D.ratio`.
        state_dim: `SS2D.state_dim`.
        mlp_ratio: hidden channels of the MLPs for a channel.
        param_dtype: type of the parameters.
    """

    rates: Sequence[float]
    next_width: int
    ssm_ratio: float
    state_dim: int
    mlp_ratio: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, training: Training | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Map [B, H, W, C] to the same shape, and to what the next stage sees."""
        types = {"param_dtype": self.param_dtype}
        for block, rate in enumerate(self.rates):
            x = VSSBlock(
                self.ssm_ratio,
                self.state_dim,
                self.mlp_ratio,
                rate,
                name=f"blocks_{block}",
                **types,
            )(x, training)
        if not self.next_width:
            return x, x
        return x, halve(x, self.next_width, "downsample", (1, 3), **types)


def halve(
    x: jax.Array, features: int, name: str, numbers: tuple[int, int], *, param_dtype: Any
) -> jax.Array:
    """Convolve [B, H, W, C] to [B, H / 2, W / 2, features] and normalise it.

    The modules belong to the one that calls, as `name` with these numbers.
    """
    types = {"param_dtype": param_dtype}
    conv, norm = (f"{name}_{number}" for number in numbers)
    x = convolution(x, features, 3, strides=2, use_bias=True, name=conv, **types)
    return layer_norm(x, EPSILON, name=norm, **types)


class VMamba(nn.Module):
    """Stages of selective scans, at strides 4, 8, 16, 32; computes in its input's type.

    This is the version with overlapping patches: convolutions of stride 2 begin the network and end
    all stages but the last. There may be fewer or more stages.

    Attributes:
        embed_dims: channels of the stages.
        depths: number of blocks of the stages.
        ssm_ratio: `SS2D.ratio`.
        state_dim: `SS2D.state_dim`.
        mlp_ratio: hidden channels of the MLPs for a channel.
        drop_path_rate: stochastic depth of the last block, linearly from 0 in the first.
        param_dtype: type of the parameters.
    """

    embed_dims: Sequence[int] = (96, 192, 384, 768)
    depths: Sequence[int] = (2, 2, 4, 2)
    ssm_ratio: float = 2.0
    state_dim: int = 1
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.2
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns are multiples of, so that no stage sees half a pixel."""
        return int(2 ** (len(self.embed_dims) + 1))

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> list[jax.Array]:
        """Encode [B, H, W, C] as the normalised outputs of the stages, fine to deep.

        Raises:
            UserError: there are more or fewer `depths` than `embed_dims`.
        """
        if len(self.depths) != len(self.embed_dims):
            raise UserError(
                f"a VMamba has {len(self.embed_dims)} embed_dims, but {len(self.depths)} depths; "
                "give one number for each stage"
            )
        types = {"param_dtype": self.param_dtype}
        x = halve(x, self.embed_dims[0] // 2, "patch_embed", (0, 2), **types)
        x = nn.gelu(x, approximate=False)
        x = halve(x, self.embed_dims[0], "patch_embed", (5, 7), **types)
        features = []
        widths = (*self.embed_dims[1:], 0)
        for stage, rates in enumerate(drop_path_rates(self.drop_path_rate, self.depths)):
            shape = (self.ssm_ratio, self.state_dim, self.mlp_ratio)
            feature, x = Stage(rates, widths[stage], *shape, name=f"layers_{stage}", **types)(
                x, training
            )
            features.append(layer_norm(feature, EPSILON, name=f"outnorm{stage}", **types))
        return features
