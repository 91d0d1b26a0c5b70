"""FC-EF, FC-Siam-conc and FC-Siam-diff as first published (Daudt, Le Saux, Boulch 2018).

Facts are those of the authors' code (rcdaudt/fully_convolutional_change_detection). The same ideas
over a ResNet U-Net are in `fc_siam`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.networks.batch_normalization import BatchNorm
from noise2map_jax.networks.dates import encode_dates
from noise2map_jax.networks.layers import Dropout, convolution
from noise2map_jax.networks.tile_size import check_tile_size
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.transposed_convolution import ConvTranspose

# How the skips of both dates become one. FC-EF has one encoder for all channels, and no entry here.
FUSIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "conc": lambda pre, post: jnp.concatenate([pre, post], axis=-1),
    "diff": lambda pre, post: jnp.abs(pre - post),
}


class FCOriginal(nn.Module):
    """The original fully convolutional networks for pairs [pre, post].

    FC-EF sees both dates as one image; it is a U-Net. FC-Siam encodes each date with the same
    layers and fuses the skips; only the later date's deepest map is sent on. In training the
    encoder's batch normalisation sees each date by itself, the earlier one first. Dropout drops
    whole channels.

    Outputs are logarithms of probabilities, as the authors', so they may be used as logits.
    Initial values are as in `layers` and `transposed_convolution`.

    Attributes:
        num_classes: number of outputs.
        fusion: "early" (FC-EF), or how FC-Siam fuses skips, a key of `FUSIONS`.
        widths: channels of each resolution, fine to deep.
        convolutions: convolutions of each resolution, on both sides.
        dropout_rate: part of the channels that is dropped after each convolution but the last.
        dtype: compute type; the last layer is float32.
        param_dtype: type of the parameters.
    """

    num_classes: int
    fusion: str = "diff"
    widths: Sequence[int] = (16, 32, 64, 128)
    convolutions: Sequence[int] = (2, 2, 3, 3)
    dropout_rate: float = 0.2
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels that rows and columns of tiles are multiples of."""
        return 2 ** len(self.widths)

    @nn.compact
    def __call__(self, x: jax.Array, training: Training | None = None) -> jax.Array:
        """Map pairs [B, H, W, C], the earlier date first, to logits [B, H, W, num_classes] float32.

        Raises:
            UserError: H or W is not a multiple of `stride`, C is odd, or attributes do not fit.
        """
        check_tile_size(self, x)
        if self.fusion != "early" and self.fusion not in FUSIONS:
            names = ", ".join(map(repr, ("early", *FUSIONS)))
            raise UserError(f"FC network: fusion is {self.fusion!r}; expected one of {names}")
        if len(self.widths) != len(self.convolutions):
            raise UserError(
                f"FC network: widths has {len(self.widths)} numbers and convolutions "
                f"{len(self.convolutions)}; give one of each for each resolution"
            )
        x = x.astype(self.dtype)
        if self.fusion == "early":
            *skips, h = self._encode(x, training)
        else:
            (*pre, _), (*post, h) = encode_dates(self._encode, x, training)
            skips = [FUSIONS[self.fusion](*both) for both in zip(pre, post, strict=True)]
        return self._decode(h, skips, training)

    def _layer(
        self, x: jax.Array, name: str, features: int, training: Training | None
    ) -> jax.Array:
        """Apply a 3x3 convolution, batch normalisation, ReLU and dropout."""
        types = {"param_dtype": self.param_dtype}
        if name.endswith("d"):  # in the decoder, transposed
            x = ConvTranspose(features, 3, padding=1, name=f"conv{name}", **types)(x)
        else:
            x = convolution(x, features, 3, use_bias=True, name=f"conv{name}", **types)
        x = nn.relu(BatchNorm(name=f"bn{name}", **types)(x, training))
        return Dropout(self.dropout_rate, (1, 2), name=f"do{name}")(x, training)

    def _encode(self, x: jax.Array, training: Training | None) -> list[jax.Array]:
        """Map images to maps at strides 1, 2, 4, ..., and the last one pooled."""
        maps = []
        levels = zip(self.widths, self.convolutions, strict=True)
        for level, (width, convolutions) in enumerate(levels, start=1):
            for number in range(1, convolutions + 1):
                x = self._layer(x, f"{level}{number}", width, training)
            maps.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        return [*maps, x]

    def _decode(
        self, x: jax.Array, skips: Sequence[jax.Array], training: Training | None
    ) -> jax.Array:
        """Double the deepest map level by level, joined by the skips; classify the pixels."""
        types = {"param_dtype": self.param_dtype}
        doubling: Any = {"stride": 2, "padding": 1, "output_padding": 1}
        for level in range(len(self.widths), 0, -1):
            width = self.widths[level - 1]
            x = ConvTranspose(width, 3, name=f"upconv{level}", **doubling, **types)(x)
            x = jnp.concatenate([x, skips[level - 1]], axis=-1)
            for number in range(self.convolutions[level - 1], 1, -1):
                x = self._layer(x, f"{level}{number}d", width, training)
            if level > 1:
                x = self._layer(x, f"{level}1d", self.widths[level - 2], training)
        head = ConvTranspose(self.num_classes, 3, padding=1, name="conv11d", **types)
        return nn.log_softmax(head(x.astype(jnp.float32)))
