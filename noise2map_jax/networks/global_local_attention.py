"""Attention in windows beside convolutions (Wang et al. 2022, UNetFormer).

Facts were read in sstary/SSRS (Apache-2.0), which has UNetFormer's modules. Modules have the
authors' names.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.networks.attention import attention
from noise2map_jax.networks.layers import conv_norm, convolution, truncated_normal
from noise2map_jax.networks.training import Training


def relu6(x: jax.Array) -> jax.Array:
    """Cut off values below 0 and above 6."""
    return jnp.clip(x, 0, 6)


def separable_conv_norm(
    x: jax.Array, size: int, training: Training | None, *, name: str, param_dtype: Any
) -> jax.Array:
    """Convolve each channel (`name_0`), normalise (`name_1`), then mix the channels (`name_2`)."""
    channels, types = x.shape[-1], {"param_dtype": param_dtype}
    x = conv_norm(x, channels, size, training, groups=channels, name=name, **types)
    return convolution(x, channels, 1, name=f"{name}_2", **types)


def to_windows(x: jax.Array, size: int) -> jax.Array:
    """Cut [B, H, W, C] into [B, rows, columns, size * size, C]; H and W are multiples of size."""
    batch, height, width, channels = x.shape
    rows, columns = height // size, width // size
    x = x.reshape(batch, rows, size, columns, size, channels)
    return x.swapaxes(2, 3).reshape(batch, rows, columns, size * size, channels)


def from_windows(windows: jax.Array, size: int) -> jax.Array:
    """Join what `to_windows` has cut."""
    batch, rows, columns, _, channels = windows.shape
    x = windows.reshape(batch, rows, columns, size, size, channels)
    return x.swapaxes(2, 3).reshape(batch, rows * size, columns * size, channels)


def relative_positions(size: int) -> np.ndarray:
    """Number the offsets between pixels of a window, by rows and columns from -(size - 1).

    Returns:
        [size**2, size**2] int, from 0 to (2 size - 1)**2 - 1.
    """
    rows, columns = np.divmod(np.arange(size * size), size)
    by_row = rows[:, None] - rows[None, :] + size - 1
    by_column = columns[:, None] - columns[None, :] + size - 1
    return np.asarray(by_row * (2 * size - 1) + by_column)


class GlobalLocalAttention(nn.Module):
    """Attention in windows, averaged along rows and columns, plus convolutions.

    Attributes:
        num_heads: heads of the attention.
        window_size: side of the windows in pixels, even.
        param_dtype: type of the parameters.
    """

    num_heads: int
    window_size: int = 8
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, local: jax.Array, training: Training | None = None
    ) -> jax.Array:
        """Attend over x and convolve another map.

        Args:
            x: [B, H, W, C], whose pixels attend to each other.
            local: [B, H, W, D], what is convolved.
            training: for the batch normalisation.

        Returns:
            [B, H, W, C].

        Raises:
            UserError: heads do not divide C, or the windows' side is odd.
        """
        size, (_, height, width, channels) = self.window_size, x.shape
        if size < 2 or size % 2:
            raise UserError(
                f"{'/'.join(self.path)}: window_size is {size}; expected an even number, such as 8"
            )
        if channels % self.num_heads:
            raise UserError(
                f"{'/'.join(self.path)}: {channels} channels cannot have {self.num_heads} equal "
                "heads; take a number of heads that divides the channels"
            )
        types = {"param_dtype": self.param_dtype}
        near = conv_norm(local, channels, 1, training, name="local2", **types)
        near += conv_norm(local, channels, 3, training, name="local1", **types)
        h = self._attend(x)[:, :height, :width]
        h = self._average(h, 1) + self._average(h, 2) + near
        h = jnp.pad(h, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="reflect")
        return separable_conv_norm(h, size, training, name="proj", **types)

    def _attend(self, x: jax.Array) -> jax.Array:
        """Attend within windows; the result may have more rows and columns.

        Where windows do not divide the map, it is reflected at its lower and right edges, as often
        as needed. PyTorch, which the authors use, reflects at most once.
        """
        size, heads, (batch, height, width, channels) = self.window_size, self.num_heads, x.shape
        more = ((0, 0), (0, -height % size), (0, -width % size), (0, 0))
        x = jnp.pad(x, more, mode="reflect")
        qkv = convolution(x, 3 * channels, 1, name="qkv_0", param_dtype=self.param_dtype)
        windows = to_windows(qkv, size)
        grid = windows.shape[1:3]
        query, key, value = jnp.split(windows.reshape(-1, size * size, 3 * channels), 3, axis=-1)
        table = self.param(
            "relative_position_bias_table",
            truncated_normal,
            ((2 * size - 1) ** 2, heads),
            self.param_dtype,
        )
        bias = table[relative_positions(size)].transpose(2, 0, 1)
        h = attention(query, key, value, num_heads=heads, bias=bias)
        return from_windows(h.reshape(batch, *grid, size * size, channels), size)

    def _average(self, x: jax.Array, axis: int) -> jax.Array:
        """Average over a window along an axis, of which one more pixel is reflected at the end.

        Beyond the edges there are zeros, which count.
        """
        before = self.window_size // 2 - 1
        widths = [(0, 0)] * 4
        widths[axis] = (0, 1)
        x = jnp.pad(x, widths, mode="reflect")
        window = [1, 1, 1]
        window[axis] = self.window_size
        padding = [(0, 0)] * 2
        padding[axis - 1] = (before, before)
        return nn.avg_pool(x, tuple(window[1:]), padding=padding)


class MLP(nn.Module):
    """Two 1x1 convolutions with ReLU6 in between."""

    ratio: int = 4
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to the same shape."""
        channels = x.shape[-1]
        options: Any = {"use_bias": True, "param_dtype": self.param_dtype}
        h = relu6(convolution(x, self.ratio * channels, 1, name="fc1", **options))
        return convolution(h, channels, 1, name="fc2", **options)
