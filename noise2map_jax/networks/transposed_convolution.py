"""Transposed convolution with PyTorch's padding."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.networks.phases import transposed_convolution


class ConvTranspose(nn.Module):
    """The transpose of a strided convolution, as PyTorch's `ConvTranspose2d`.

    Its kernel is named `transposed_kernel` [size, size, C, D], because it is converted in another
    way than a convolution's; initial values are uniform in +-1 / sqrt(D size size), PyTorch's own.

    Attributes:
        features: channels of the result, D.
        size: side of the kernel.
        stride: pixels of the result for a pixel of the input.
        padding: rows and columns that are cut off at each edge of the result.
        output_padding: how many of those at the lower and right edges are kept.
        param_dtype: type of the parameters.
    """

    features: int
    size: int
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H', W', D] of the same type.

        H' = (H - 1) stride + size - 2 padding + output_padding, and W' likewise.
        """
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("transposed_kernel", _uniform, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
        y = transposed_convolution(
            x, kernel.astype(x.dtype), self.stride, self.padding, self.output_padding
        )
        return y + bias.astype(x.dtype).reshape(1, 1, 1, -1)


def _uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    limit = (shape[0] * shape[1] * shape[3]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -limit, limit)
