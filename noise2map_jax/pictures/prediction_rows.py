"""Pictures of predictions, one row a record: image or pair | truth | prediction | probability."""

import dataclasses
import math
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from noise2map_jax.method.scaling import ValueRange
from noise2map_jax.pictures.map_colours import colour_classes, colour_prediction

PANEL = 224  # smallest side of a panel, in pixels
GAP, HEADER = 6, 46


@dataclasses.dataclass(frozen=True)
class PredictedRecord:
    """One row of the picture.

    Attributes:
        images: one or two images, [H, W, C] as stored.
        mask: [H, W] uint8 class indices, 255 = ignore.
        probabilities: [H, W, K] float32.
        label: text in the row: the record's id.
    """

    images: tuple[np.ndarray, ...]
    mask: np.ndarray
    probabilities: np.ndarray
    label: str


def draw_predictions(
    records: Sequence[PredictedRecord], value_range: ValueRange, title: str
) -> np.ndarray:
    """Draw records as rows of panels.

    Args:
        records: the records to draw: at least one, all of the same size.
        value_range: (low, high) in sensor units, drawn as black and white.
        title: a line above the rows, such as the dataset and its score.

    Returns:
        [H, W, 3] uint8.
    """
    num_classes = records[0].probabilities.shape[-1]
    dates = ("image",) if len(records[0].images) == 1 else ("pre", "post")
    names = (*dates, "truth", "prediction", "probability: black 0, white 1")
    if num_classes == 2:
        title += "; prediction: white right, orange false alarm, blue missed"
    height, width = records[0].mask.shape
    zoom = max(1, -(-PANEL // max(height, width)))
    step_x, step_y = width * zoom + GAP, height * zoom + GAP
    canvas = Image.new("RGB", (GAP + step_x * len(names), HEADER + step_y * len(records)), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, 5), title, fill="black", font=_font(15))
    for column, name in enumerate(names):
        draw.text((GAP + column * step_x, 27), name, fill="black", font=_font(12))
    for row, record in enumerate(records):
        for column, panel in enumerate(_panels(record, value_range)):
            image = Image.fromarray(panel).resize(
                (width * zoom, height * zoom), Image.Resampling.NEAREST
            )
            canvas.paste(image, (GAP + column * step_x, HEADER + row * step_y))
        place = (GAP + 4, HEADER + row * step_y + height * zoom - 16)
        draw.text(
            place, record.label, fill="white", font=_font(11), stroke_width=2, stroke_fill="black"
        )
    return np.asarray(canvas)


def draw_grid(images: np.ndarray) -> np.ndarray:
    """Draw images side by side in a grid that is about square.

    Args:
        images: [N, H, W, C] float, from 0 (black) to 1 (white).

    Returns:
        [H, W, 3] uint8.
    """
    num, height, width, _ = images.shape
    columns = math.ceil(math.sqrt(num))
    zoom = max(1, PANEL // 2 // max(height, width))
    step_x, step_y = width * zoom + GAP, height * zoom + GAP
    canvas = Image.new("RGB", (GAP + step_x * columns, GAP + step_y * -(-num // columns)), "white")
    for i, image in enumerate(images):
        panel = Image.fromarray(_to_bytes(_three_bands(image), 0.0, 1.0))
        panel = panel.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
        canvas.paste(panel, (GAP + i % columns * step_x, GAP + i // columns * step_y))
    return np.asarray(canvas)


def _panels(record: PredictedRecord, value_range: ValueRange) -> list[np.ndarray]:
    prediction = np.argmax(record.probabilities, axis=-1)
    truth = colour_classes(record.mask)
    shown = colour_prediction(prediction, record.mask, record.probabilities.shape[-1])
    foreground = 1 - record.probabilities[..., 0]
    grey = np.round(255 * foreground).astype(np.uint8)
    images = [to_rgb(image, value_range) for image in record.images]
    return [*images, truth, shown, np.repeat(grey[..., None], 3, axis=-1)]


def to_rgb(
    image: np.ndarray, value_range: ValueRange, valid: np.ndarray | None = None
) -> np.ndarray:
    """Return the first three bands of an image, or the first one as grey, as uint8.

    Args:
        image: [H, W, C].
        value_range: (low, high), drawn as black and white where the image is uint8.
        valid: [H, W] bool, the pixels by which other types are stretched; None: all.
    """
    low, high = (np.broadcast_to(np.asarray(v, np.float32), image.shape[-1:]) for v in value_range)
    if image.dtype != np.uint8:
        # Sensors of more than eight bits leave most of their range empty, so stretch the image.
        known = image.reshape(-1, image.shape[-1]) if valid is None else image[valid]
        low, high = np.percentile(known, (2, 98), axis=0)
    return _to_bytes(_three_bands(image), _three_bands(low), _three_bands(high))


def _three_bands(values: np.ndarray) -> np.ndarray:
    """Return the first three bands of [..., C], or the first one three times."""
    return values[..., :3] if values.shape[-1] >= 3 else np.repeat(values[..., :1], 3, axis=-1)


def _to_bytes(values: np.ndarray, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Map [low, high] to 0 ... 255."""
    width = np.maximum(np.subtract(high, low), 1e-6)
    scaled = (values.astype(np.float32) - np.asarray(low)) / width
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def save_png(picture: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write [H, W, 3] uint8 as a PNG, completely or not at all."""
    temporary = f"{os.fspath(path)}.tmp"
    Image.fromarray(picture).save(temporary, format="PNG")
    os.replace(temporary, path)
