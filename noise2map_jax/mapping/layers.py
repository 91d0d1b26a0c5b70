"""What can be written of a prediction: classes, probabilities, uncertainty; each a GeoTIFF."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np

from data_prep.imagery.classes_tag import CLASSES_TAG, classes_tag
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.blending import Strip
from noise2map_jax.method.losses import IGNORE
from noise2map_jax.pictures.class_colours import class_colours

LEVELS = 250  # of a probability as uint8: a step of 0.004; 255 is no data
PROBABILITY_TYPES = ("float32", "uint8")


@dataclasses.dataclass(frozen=True)
class Layer:
    """One file of a map.

    Attributes:
        band_names: what each band shows.
        dtype: uint8 or float32.
        nodata: value of pixels without data.
        values: strip -> [h, w, bands], before types are converted; anything where not valid.
        scale: what stored values are multiplied by.
        colours: class index -> colour; None: not a map of classes.
        tags: what else to say of it.
    """

    band_names: tuple[str, ...]
    dtype: str
    nodata: float
    values: Callable[[Strip], np.ndarray]
    scale: float = 1.0
    colours: Mapping[int, tuple[int, int, int]] | None = None
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def pixels(self, strip: Strip) -> np.ndarray:
        """Return the bands of a strip as stored, [bands, h, w]."""
        values = self.values(strip)
        if self.scale != 1:
            values = np.rint(values / self.scale)
        filled = np.where(strip.valid[..., None], values, self.nodata)
        return np.moveaxis(filled.astype(self.dtype), -1, 0)


def class_layer(classes: tuple[str, ...], threshold: float | None) -> Layer:
    """Return the map of class indices, 255 where there is no data.

    Args:
        classes: names of the K classes.
        threshold: see `most_probable`.
    """
    return Layer(
        band_names=("class",),
        dtype="uint8",
        nodata=IGNORE,
        values=lambda strip: most_probable(_probabilities(strip), threshold)[..., None],
        colours=dict(enumerate(class_colours(len(classes)))) | {IGNORE: (128, 128, 128)},
        tags={CLASSES_TAG: classes_tag(classes)},
    )


def foreground_layer(dtype: str) -> Layer:
    """Return the probability of not being class 0.

    Args:
        dtype: float32, NaN where there is no data; or uint8, in steps of 0.004 (the file's scale),
            255 where there is no data.
    """
    return _of_probability(
        ("probability",), dtype, lambda strip: 1 - _probabilities(strip)[..., :1]
    )


def classes_layer(classes: tuple[str, ...], dtype: str) -> Layer:
    """Return the probability of each class, one a band; see `foreground_layer`."""
    return _of_probability(classes, dtype, _probabilities)


def uncertainty_layer(dtype: str) -> Layer:
    """Return the standard deviation of the foreground probability; see `foreground_layer`."""
    return _of_probability(("uncertainty",), dtype, lambda strip: strip.values[..., -1:])


def most_probable(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return the class of each pixel.

    Args:
        probabilities: [..., K].
        threshold: probability of not being class 0 from which a pixel is foreground, of which it
            then is the most probable class; None: the most probable of all classes.

    Returns:
        [...] uint8.
    """
    if threshold is None:
        return probabilities.argmax(axis=-1).astype(np.uint8)
    foreground = 1 - probabilities[..., 0] >= threshold
    return np.where(foreground, 1 + probabilities[..., 1:].argmax(axis=-1), 0).astype(np.uint8)


def _of_probability(
    names: tuple[str, ...], dtype: str, values: Callable[[Strip], np.ndarray]
) -> Layer:
    if dtype not in PROBABILITY_TYPES:
        raise UserError(
            f"probabilities as {dtype!r} are not known; expected {' or '.join(PROBABILITY_TYPES)}"
        )
    kind = functools.partial(Layer, band_names=names, dtype=dtype, values=values)
    if dtype == "uint8":
        return kind(nodata=IGNORE, scale=1 / LEVELS)
    return kind(nodata=float("nan"))


def _probabilities(strip: Strip) -> np.ndarray:
    return strip.values[..., :-1]
