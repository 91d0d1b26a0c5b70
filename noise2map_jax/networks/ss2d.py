"""Selective scans of maps in four directions (VMamba; Liu et al. 2024).

Facts were read in VMamba (MzeroMiko, MIT). Parameters have the authors' names.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.layers import convolution, layer_norm, linear
from noise2map_jax.networks.selective_scan import selective_scan

NUM_DIRECTIONS = 4
EPSILON = 1e-5  # of LayerNorms
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
        if inner < 1:
            raise UserError(
                f"a scan of {self.ratio} x {channels} channels has none; take a larger ssm_ratio or"
                " more channels"
            )
        linear_options: Any = {"use_bias": False, **types}
        h = linear(x, inner * (1 + self.gated), name="in_proj", **linear_options)
        h, gate = h[..., :inner], h[..., inner:]
        options: Any = {"groups": inner, "use_bias": self.conv_bias, **types}
        h = convolution(h, inner, 3, name="conv2d", **options)
        y = self._scan(four_ways(nn.silu(h)), rank)
        y = layer_norm(merge_four_ways(y, height, width), EPSILON, name="out_norm", **types)
        y = y.astype(x.dtype)
        y = y * nn.silu(gate) if self.gated else y
        return linear(y, channels, name="out_proj", **linear_options)

    def _scan(self, x: jax.Array, rank: int) -> jax.Array:
        """Scan sequences [B, 4, L, D]; the result is float32."""
        ways, inner, states = NUM_DIRECTIONS, x.shape[-1], self.state_dim

        def parameter(name: str, initial: Any, *shape: int) -> jax.Array:
            value: jax.Array = self.param(name, initial, shape, self.param_dtype)
            return value

        into = parameter("x_proj_weight", _uniform(inner), ways, rank + 2 * states, inner)
        steps = parameter("dt_projs_weight", _uniform(rank), ways, inner, rank)
        bias = parameter("dt_projs_bias", _step_bias, ways, inner)
        # In few digits, the rates of all but the first few states would be others.
        rates = -jnp.exp(parameter("A_logs", _log_states, ways * inner, states).astype(jnp.float32))
        direct = parameter("Ds", nn.initializers.ones, ways * inner)

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
