"""Pictures within a page, as data: URIs."""

import base64
import io

import numpy as np
from PIL import Image

PROBABILITY_LEVELS = 21  # steps of 5 %: a picture of few shades is small
JPEG_QUALITY = 85


def photo(image: np.ndarray) -> str:
    """Encode a photograph as JPEG.

    Args:
        image: [H, W, 3] uint8.

    Returns:
        A data: URI.
    """
    return _encode(Image.fromarray(image), "jpeg", quality=JPEG_QUALITY, optimize=True)


def few_colours(picture: np.ndarray) -> str:
    """Encode a picture of few colours as PNG, losslessly, with a palette where 256 do.

    Args:
        picture: [H, W, 3] uint8.

    Returns:
        A data: URI.
    """
    # One number a colour: numpy sorts numbers far faster than rows.
    packed = picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, indices = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return _encode(Image.fromarray(picture), "png", optimize=True)
    image = Image.fromarray(indices.reshape(packed.shape).astype(np.uint8))
    image.putpalette((colours[:, None] >> np.array([16, 8, 0]) & 255).astype(np.uint8).tobytes())
    return _encode(image, "png", optimize=True)


def grey(probability: np.ndarray) -> str:
    """Encode probabilities as shades of grey, 0 black and 1 white, in steps of 5 %.

    Args:
        probability: [H, W] float from 0 to 1; NaN is drawn as 0.

    Returns:
        A data: URI.
    """
    levels = PROBABILITY_LEVELS - 1
    rounded = np.round(np.clip(np.nan_to_num(probability), 0, 1) * levels) / levels
    shades = np.round(255 * rounded).astype(np.uint8)
    return few_colours(np.repeat(shades[..., None], 3, axis=-1))


def _encode(image: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
