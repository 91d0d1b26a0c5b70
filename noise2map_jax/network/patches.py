"""Patches of pixels as channels: the backbone then works at a fraction of the resolution.

Most of a U-Net's arithmetic is at full resolution. With patches of p x p pixels the convolutions
of a level cost a p^2-th (Luhman and Luhman 2022, "Improving Diffusion Model Efficiency Through
Patching", arXiv:2207.04316). If the backbone takes fewer channels than a patch has numbers, the
projection before it loses a part of the image.
"""

import jax


def to_patches(x: jax.Array, patch_size: int) -> jax.Array:
    """Put the pixels of each patch, row by row, into the channels of one pixel.

    Args:
        x: [B, H, W, C].
        patch_size: side p of a patch in pixels; 1 = x as it is.

    Returns:
        [B, H / p, W / p, p * p * C].
    """
    batch, height, width, channels = x.shape
    rows, columns = height // patch_size, width // patch_size
    x = x.reshape(batch, rows, patch_size, columns, patch_size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, patch_size**2 * channels)


def from_patches(h: jax.Array, patch_size: int) -> jax.Array:
    """Invert `to_patches`: [B, H / p, W / p, p * p * C] to [B, H, W, C]."""
    batch, rows, columns, channels = h.shape
    channels //= patch_size**2
    h = h.reshape(batch, rows, columns, patch_size, patch_size, channels).transpose(
        0, 1, 3, 2, 4, 5
    )
    return h.reshape(batch, rows * patch_size, columns * patch_size, channels)
