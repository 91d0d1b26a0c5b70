"""ResNet (He et al. 2016) as an encoder, with the names of torchvision."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.layers import convolution
from noise2map_jax.networks.resizing import max_pool
from noise2map_jax.networks.training import Training


class ResNet(nn.Module):
    """ResNet without its classifier; computes in the type of its input.

    Attributes:
        widths: channels of the features: the stem's and those of each layer.
        blocks: number of blocks of each layer; with fewer layers there are fewer features.
        bottleneck: whether blocks are 1x1, 3x3, 1x1 with a quarter of the channels inside, and not
            two 3x3.
        strides: stride of each layer's first block.
        dilations: dilation of all 3x3 convolutions of each layer; see `dilated`.
        param_dtype: type of the parameters.
    """

    widths: Sequence[int] = (64, 64, 128, 256, 512)
    blocks: Sequence[int] = (2, 2, 2, 2)
    bottleneck: bool = False
    strides: Sequence[int] = (1, 2, 2, 2)
    dilations: Sequence[int] = (1, 1, 1, 1)
    param_dtype: Any = jnp.float32

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Blocks and channels of each stage."""
        return tuple(zip(self.blocks, self.widths[1:], strict=False))

    @property
    def feature_strides(self) -> tuple[int, ...]:
        """Pixels of the input for a pixel of each feature, the input's 1 first."""
        strides = [1, 2, 4]
        for stride, _ in zip(self.strides, self.blocks, strict=False):
            strides.append(strides[-1] * stride)
        return (1, 2, *strides[3:])

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of images are multiples of."""
        return self.feature_strides[-1]

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """Channels of the features after the input."""
        return tuple(self.widths[: len(self.blocks) + 1])

    def dilated(self, output_stride: int) -> "ResNet":
        """Return the encoder with dilation in place of strides in its last layers.

        Args:
            output_stride: stride of the deepest feature: 8, 16 or 32. With 16 all convolutions of
                layer 4 have stride 1 and dilation 2, with 8 those of layer 3 have 2, of layer 4 4.

        Raises:
            UserError: another output stride.
        """
        choices = {
            32: ((1, 2, 2, 2), (1, 1, 1, 1)),
            16: ((1, 2, 2, 1), (1, 1, 1, 2)),
            8: ((1, 2, 1, 1), (1, 1, 2, 4)),
        }
        if output_stride not in choices:
            raise UserError(f"output_stride is {output_stride}; a ResNet has 8, 16 or 32")
        strides, dilations = choices[output_stride]
        return self.clone(strides=strides, dilations=dilations)

    def cut(self, depth: int) -> "ResNet":
        """Return the encoder without the layers after feature number `depth`, 2 to 5."""
        if not 2 <= depth <= len(self.blocks) + 1:
            raise UserError(f"encoder_depth is {depth}; expected 2 to {len(self.blocks) + 1}")
        return self.clone(
            widths=self.feature_widths[:depth], blocks=tuple(self.blocks[: depth - 1])
        )

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        training: Training | None = None,
        refine: Callable[[int, jax.Array], jax.Array] | None = None,
    ) -> list[jax.Array]:
        """Encode [B, H, W, C] as [the input, stem, layer 1, layer 2, ...], fine to deep.

        H and W are multiples of the deepest stride.

        Args:
            x: [B, H, W, C].
            training: as in a call of a network.
            refine: changes the output of a layer, whose number from 0 it gets, before the next
                layer sees it.

        Raises:
            UserError: widths are not one more than blocks, or a layer has no stride or dilation.
        """
        if len(self.widths) != len(self.blocks) + 1:
            raise UserError(
                f"a ResNet of {len(self.blocks)} layers (blocks) takes {len(self.blocks) + 1} "
                f"widths, the stem's and each layer's; got {len(self.widths)}"
            )
        for name, given in (("strides", self.strides), ("dilations", self.dilations)):
            if len(given) < len(self.blocks):
                raise UserError(
                    f"a ResNet of {len(self.blocks)} layers (blocks) has {len(given)} {name}; give "
                    "one for each layer"
                )
        features = [x]
        x = convolution(x, self.widths[0], 7, strides=2, name="conv1", param_dtype=self.param_dtype)
        x = nn.relu(BatchNorm(param_dtype=self.param_dtype, name="bn1")(x, training))
        features.append(x)
        x = max_pool(x)
        layers = zip(self.widths[1:], self.blocks, self.strides, self.dilations, strict=False)
        for layer, (width, blocks, stride, dilation) in enumerate(layers, start=1):
            for block in range(blocks):
                x = Block(
                    width,
                    self.bottleneck,
                    stride if block == 0 else 1,
                    dilation,
                    # A layer that dilation has taken the stride from keeps its projection.
                    block == 0 and (max(stride, dilation) > 1 or x.shape[-1] != width),
                    self.param_dtype,
                    name=f"layer{layer}_{block}",
                )(x, training)
            if refine is not None:
                x = refine(layer - 1, x)
            features.append(x)
        return features


class Block(nn.Module):
    """A residual block: basic (two 3x3) or bottleneck (1x1, 3x3 with the stride, 1x1)."""

    width: int
    bottleneck: bool
    stride: int
    dilation: int
    projected: bool
    param_dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None) -> jax.Array:
        """Map [B, H, W, C] to [B, H / stride, W / stride, width]."""
        types = {"param_dtype": self.param_dtype}
        middle = {"strides": self.stride, "dilation": self.dilation}
        last = {"dilation": self.dilation}
        convolutions: list[tuple[int, int, dict[str, Any]]]
        if self.bottleneck:
            inner = self.width // 4
            convolutions = [(inner, 1, {}), (inner, 3, middle), (self.width, 1, {})]
        else:
            convolutions = [(self.width, 3, middle), (self.width, 3, last)]

        h = x
        for number, (features, size, options) in enumerate(convolutions, start=1):
            h = nn.relu(h) if number > 1 else h
            h = convolution(h, features, size, name=f"conv{number}", **types, **options)
            h = BatchNorm(name=f"bn{number}", **types)(h, training)
        if self.projected:
            x = convolution(x, self.width, 1, strides=self.stride, name="downsample_0", **types)
            x = BatchNorm(name="downsample_1", **types)(x, training)
        return nn.relu(x + h)


RESNETS = {
    "resnet18": ResNet(),
    "resnet34": ResNet(blocks=(3, 4, 6, 3)),
    "resnet50": ResNet(widths=(64, 256, 512, 1024, 2048), blocks=(3, 4, 6, 3), bottleneck=True),
}
