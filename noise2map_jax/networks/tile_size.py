"""The sizes of tiles that a network can take."""

from typing import Any

import jax

from noise2map_jax.errors import UserError


def check_tile_size(network: Any, x: jax.Array) -> None:
    """Check that rows and columns are multiples of the network's stride.

    Args:
        network: a module with the property `stride`, in pixels.
        x: [B, H, W, C].

    Raises:
        UserError: they are not; the message names the nearest sizes that the network takes.
    """
    stride, (height, width) = network.stride, x.shape[1:3]
    wrong = [
        f"{_nearest(size, stride)} {axis}"
        for size, axis in ((height, "rows"), (width, "columns"))
        if size == 0 or size % stride
    ]
    if wrong:
        raise UserError(
            f"{type(network).__name__} takes tiles whose sides are multiples of {stride} pixels, "
            f"not {height} x {width}: use {' and '.join(wrong)}"
        )


def _nearest(size: int, stride: int) -> str:
    below = size // stride * stride
    return f"{below} or {below + stride}" if below else f"{stride}"
