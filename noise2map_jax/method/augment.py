"""Augmentation inside the jitted step: flips and turns, crops, scale, pasted foreground.

These are pure functions of a key. All images of a record (both dates, the mask) move together.
"""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError
from noise2map_jax.method.copy_paste import copy_paste
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.method.zoom import zoomed_classes, zoomed_crop

AS_IT_IS = (1.0, 1.0)  # the zoom that leaves the scale
MOST_ZOOM = 16
MOST_BLUR = 4.0  # pixels; more leaves nothing to map
# Folded into the key, so that the draws of others stay.
ZOOM_STREAM, PASTE_STREAM, UNCHANGED_STREAM = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random changes to each record.

    Attributes:
        flips_and_turns: apply one of the eight symmetries of the square.
        crop_size: side in pixels of a random crop; 0 = the whole tile.
        brightness: largest shift of the image, in units of the scaled range [-1, 1].
        contrast: largest relative change of the deviation from the mean, below 1.
        exchange_dates: swap `pre` and `post` of half of the pairs; for changes without direction.
        zoom: (least, most) scale of crops, drawn evenly over its logarithm; 2 shows a house twice
            as large, 0.5 half as large.
        colour: largest shift of each band by itself, in units of the scaled range [-1, 1].
        blur: largest standard deviation of a Gaussian blur, in pixels.
        paste: share of the records into which the foreground of another is pasted; of pairs only
            where every change is a new building.
        unchanged: share of the pairs that show the later date twice, so that nothing changes. The
            dates still differ in light, if that varies. These pairs have no foreground to paste
            from.
    """

    flips_and_turns: bool = True
    crop_size: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    exchange_dates: bool = False
    zoom: tuple[float, float] = AS_IT_IS
    colour: float = 0.0
    blur: float = 0.0
    paste: float = 0.0
    unchanged: float = 0.0

    def __post_init__(self) -> None:
        if self.crop_size < 0:
            raise UserError(f"crop_size is {self.crop_size}; expected 0 (none) or more pixels")
        if not 0 <= self.brightness < math.inf or not 0 <= self.contrast < 1:
            raise UserError(
                f"brightness is {self.brightness} and contrast {self.contrast}; expected "
                "brightness >= 0 and 0 <= contrast < 1"
            )
        numbers = isinstance(self.zoom, tuple) and all(type(z) in (int, float) for z in self.zoom)
        if (
            not (numbers and len(self.zoom) == 2)
            or not 1 / MOST_ZOOM <= self.zoom[0] <= self.zoom[1] <= MOST_ZOOM
        ):
            raise UserError(
                f"zoom is {self.zoom}; expected (least, most), two numbers from 1/{MOST_ZOOM} to "
                f"{MOST_ZOOM}, such as (0.5, 2.0)"
            )
        if not 0 <= self.colour < math.inf or not 0 <= self.blur <= MOST_BLUR:
            raise UserError(
                f"colour is {self.colour} and blur {self.blur}; expected colour >= 0 and "
                f"0 <= blur <= {MOST_BLUR} pixels"
            )
        for name in ("paste", "unchanged"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; expected a share from 0 to 1")

    def seen_size(self, tile_size: int) -> float:
        """Return the largest side of a crop in pixels of the tile, before it is resampled."""
        return (self.crop_size or tile_size) / self.zoom[0]


def flip_and_turn(images: jax.Array, symmetry: jax.Array) -> jax.Array:
    """Apply one of the eight symmetries of the square to each image.

    Args:
        images: [B, S, S, C].
        symmetry: [B] int in [0, 8): bit 0 flips the rows, bit 1 the columns, bit 2 transposes;
            0 leaves the image as it is.

    Returns:
        [B, S, S, C].
    """

    def choose(bit: int, changed: jax.Array, unchanged: jax.Array) -> jax.Array:
        return jnp.where(((symmetry >> bit) & 1)[:, None, None, None] == 1, changed, unchanged)

    images = choose(0, images[:, ::-1], images)
    images = choose(1, images[:, :, ::-1], images)
    return choose(2, jnp.swapaxes(images, 1, 2), images)


def crop(images: jax.Array, corners: jax.Array, size: int) -> jax.Array:
    """Cut a square out of each image.

    Args:
        images: [B, H, W, C].
        corners: [B, 2] int, first row and column of each square.
        size: side in pixels.

    Returns:
        [B, size, size, C].
    """
    return jax.vmap(
        lambda image, corner: jax.lax.dynamic_slice(
            image, (corner[0], corner[1], 0), (size, size, image.shape[-1])
        )
    )(images, corners)


def centre_crop(images: jax.Array, size: int) -> jax.Array:
    """Cut the centre out of each image.

    Args:
        images: [B, H, W, C].
        size: side in pixels; 0 = the whole image.

    Returns:
        [B, size, size, C].
    """
    if not size:
        return images
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def same_dates(batch: Mapping[str, jax.Array], chosen: jax.Array) -> dict[str, jax.Array]:
    """Let the chosen pairs show their later date twice: buildings that were there before.

    Where most changes are new buildings, a network may learn to find buildings of the later date
    and not look at the earlier one.

    Args:
        batch: `pre` and `post`, [B, S, S, C]; `mask` [B, S, S, 1] with classes. Pixels without a
            label keep none.
        chosen: [B] bool.

    Returns:
        The batch with the same keys, shapes and types.
    """
    chosen = chosen[:, None, None, None]
    pre, post, mask = batch["pre"], batch["post"], batch["mask"]
    return dict(batch) | {
        "pre": jnp.where(chosen, post, pre),
        "mask": jnp.where(chosen & (mask != IGNORE), jnp.zeros_like(mask), mask),
    }


def augment_geometry(
    augmentation: Augmentation, key: jax.Array, batch: dict[str, jax.Array]
) -> dict[str, jax.Array]:
    """Move all images of each record in the same way.

    Args:
        augmentation: the changes to apply.
        key: a PRNG key.
        batch: arrays [B, S, S, *], square.

    Returns:
        The batch with the same keys and types, [B, crop_size, crop_size, *] if crops are on.
    """
    crop_key, symmetry_key, exchange_key = jax.random.split(key, 3)
    num, height, width, _ = next(iter(batch.values())).shape
    size = augmentation.crop_size
    if size > min(height, width):
        raise UserError(f"crop_size is {size}; the tiles have only {height} x {width} pixels")
    if augmentation.zoom != AS_IT_IS:
        zoom_key = jax.random.fold_in(key, ZOOM_STREAM)
        batch = _zoomed(augmentation, crop_key, zoom_key, batch, size or height)
    elif size:
        limit = jnp.array([height - size + 1, width - size + 1])
        corners = jax.random.randint(crop_key, (num, 2), 0, limit[None, :])
        batch = {name: crop(images, corners, size) for name, images in batch.items()}
    if augmentation.flips_and_turns:
        symmetry = jax.random.randint(symmetry_key, (num,), 0, 8)
        batch = {name: flip_and_turn(images, symmetry) for name, images in batch.items()}
    if augmentation.unchanged and "pre" in batch:
        unchanged_key = jax.random.fold_in(key, UNCHANGED_STREAM)
        batch = same_dates(
            batch, jax.random.bernoulli(unchanged_key, augmentation.unchanged, (num,))
        )
    if augmentation.paste:
        paste_key = jax.random.fold_in(key, PASTE_STREAM)
        batch = copy_paste(batch, jax.random.bernoulli(paste_key, augmentation.paste, (num,)))
    if augmentation.exchange_dates and "pre" in batch:
        swap = jax.random.bernoulli(exchange_key, 0.5, (num, 1, 1, 1))
        pre, post = batch["pre"], batch["post"]
        batch = batch | {"pre": jnp.where(swap, post, pre), "post": jnp.where(swap, pre, post)}
    return batch


def _zoomed(
    augmentation: Augmentation,
    corner_key: jax.Array,
    zoom_key: jax.Array,
    batch: dict[str, jax.Array],
    size: int,
) -> dict[str, jax.Array]:
    """Cut squares of a random scale out of each record, each place as likely."""
    mask = batch["mask"]
    num, height, width, _ = mask.shape
    seen = augmentation.seen_size(height)
    if seen > min(height, width):
        raise UserError(
            f"zoom begins at {augmentation.zoom[0]:g}, so crops of {size} pixels see up to "
            f"{seen:.0f}; the tiles have only {height} x {width}"
        )
    least, most = (math.log(factor) for factor in augmentation.zoom)
    zoom = jnp.exp(jax.random.uniform(zoom_key, (num,), minval=least, maxval=most))
    room = jnp.array([[height, width]]) - size / zoom[:, None]
    corners = jax.random.uniform(corner_key, (num, 2)) * jnp.maximum(room, 0.0)
    valid = mask != IGNORE
    return {
        name: zoomed_classes(images, corners, zoom, size)
        if name == "mask"
        else zoomed_crop(images, corners, zoom, size, valid)
        for name, images in batch.items()
    }
