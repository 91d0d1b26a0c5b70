"""Maps of arrays: of NumPy's, and of xarray's with their coordinates."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
from rasterio import Affine

from data_prep.imagery.bands import ImageRaster
from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import ImageFile
from data_prep.imagery.turn import UPRIGHT, Window
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import data_arrays, layers
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.provenance import provenance
from noise2map_jax.mapping.scene_map import check_number, strips_of
from noise2map_jax.method.losses import IGNORE

NAMES = ("image", "post")  # of the arguments, in errors


@dataclasses.dataclass(frozen=True)
class Maps:
    """The maps of a scene: arrays, or xarray's with the coordinates of the image.

    Attributes:
        classes: [H, W] uint8, class indices; 255 where the image holds no data. As xarray's:
            `attrs` hold names of the classes and what made the map, as the tags of a file do.
        probabilities: [H, W, K] float32, of each class; NaN where it holds none. As xarray's: the
            dimension `class` comes first and holds the names.
        uncertainty: [H, W] float32, standard deviation of the probability of not being class 0
            over timesteps, noise draws and symmetries; 0 where there is but one prediction.
    """

    classes: Any
    probabilities: Any
    uncertainty: Any


def predict(
    model: Model, image: Any, post: Any = None, *, valid: Any = None, **options: Any
) -> Maps:
    """Map an image or a pair of any size: the same numbers as by the command line.

    Args:
        model: the network.
        image: [H, W, C] uint8 or uint16 as stored, unscaled: the type and bands of training. Or an
            `xarray.DataArray` as `rioxarray.open_rasterio` gives it, masked or not, of which the
            bands of training are taken by their numbers (extra `gis`). Pixels that NumPy's masked
            arrays mask in all bands hold no data. For a pair: the earlier one.
        post: for a pair: the later one, on the same grid.
        valid: [H, W] bool, False for pixels without data. Beside it, pixels hold none that an
            xarray's file declares so, or whose value is the `nodata` that the run's dataset was
            built with.
        **options: fields of `PredictionOptions`: timesteps, tile_size, margin, overlap, batch_size,
            symmetries, threshold.

    Returns:
        The maps: xarray's if `image` is.

    Raises:
        UserError: the arrays do not fit the network or each other, an option is invalid, or a
            library is missing.
    """
    given = [array for array in (image, post) if array is not None]
    check_number(model, given)
    chosen = PredictionOptions(**options)
    threshold = model.threshold(chosen)
    stored = [_as_stored(model, *pair) for pair in zip(given, NAMES, strict=False)]
    if len(given) == 2 and all(map(data_arrays.is_data_array, given)):
        data_arrays.check_place(*given)
    pixels, masks = [array for array, _ in stored], [mask for _, mask in stored]
    if valid is not None:
        masks.append(np.asarray(valid, bool))
    _check_sizes(pixels, masks)
    images = [_opened(array, np.logical_and.reduce(masks)) for array in pixels]
    height, width = pixels[0].shape[:2]
    values = np.empty((height, width, len(model.classes) + 1), np.float32)
    for strip in strips_of(model, images, chosen):
        rows = slice(strip.row, strip.row + strip.valid.shape[0])
        columns = slice(strip.column, strip.column + strip.valid.shape[1])
        values[rows, columns] = np.where(strip.valid[..., None], strip.values, np.nan)
    known = np.isfinite(values[..., 0])
    found = layers.most_probable(values[..., :-1], threshold)
    classes = np.where(known, found, IGNORE).astype(np.uint8)
    maps = Maps(classes, values[..., :-1], values[..., -1])
    return _with_places(image, maps, model, chosen) if data_arrays.is_data_array(image) else maps


def _as_stored(model: Model, array: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels [H, W, C] that the network takes, and [H, W] bool, where they hold data."""
    data = model.config.data
    if data_arrays.is_data_array(array):
        pixels, valid = data_arrays.as_stored(array, name, tuple(data.bands))
    else:
        pixels = np.asarray(array)
        valid = np.ones(pixels.shape[:2], bool)
        if np.ma.isMaskedArray(array) and pixels.ndim == 3:
            valid = np.logical_not(np.ma.getmaskarray(array).all(axis=-1))
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise UserError(f"{name} has the shape {pixels.shape}; expected [rows, columns, bands]")
    num_bands = pixels.shape[-1]
    if num_bands != data.num_bands:
        first = pixels.shape[0] == data.num_bands
        hint = f"; np.moveaxis({name}, 0, -1) puts bands last" if first else ""
        raise UserError(
            f"{name} has {num_bands} band(s) in the shape {pixels.shape}; the network expects"
            f" {data.num_bands}{hint}"
        )
    if pixels.dtype != data.dtype:
        raise UserError(
            f"{name} is {pixels.dtype}; the network was trained on {data.dtype}, as files hold it,"
            " and scales pixels itself"
        )
    if data.nodata >= 0:
        valid = valid & (pixels != data.nodata).any(axis=-1)
    return pixels, valid


def _check_sizes(pixels: list[np.ndarray], masks: list[np.ndarray]) -> None:
    sizes = [array.shape[:2] for array in pixels] + [mask.shape for mask in masks]
    if len(set(sizes)) > 1:
        names = " and ".join(" x ".join(map(str, size)) for size in dict.fromkeys(sizes))
        raise UserError(f"images and valid differ in size: {names} pixels")


def _opened(pixels: np.ndarray, valid: np.ndarray) -> ImageFile:
    """Return an array as an image that is read by windows."""
    height, width, bands = pixels.shape
    grid = Grid(height, width, Affine.identity(), None)
    load = functools.partial(_window, pixels, valid)
    return ImageFile(pathlib.Path("array"), grid, bands, str(pixels.dtype), (), UPRIGHT, load)


def _window(pixels: np.ndarray, valid: np.ndarray, window: Window | None) -> ImageRaster:
    row, column, rows, columns = window or (0, 0, *pixels.shape[:2])
    cut = slice(row, row + rows), slice(column, column + columns)
    return ImageRaster(pixels[cut], valid[cut])


def _with_places(image: Any, maps: Maps, model: Model, options: PredictionOptions) -> Maps:
    """Give maps the coordinates and the CRS of an xarray's image."""
    layer = layers.class_layer(model.classes, model.threshold(options))
    made = provenance(model, options)
    return Maps(
        data_arrays.like(image, maps.classes, "class", IGNORE, made | dict(layer.tags)),
        data_arrays.like(image, maps.probabilities, "probability", np.nan, made, model.classes),
        data_arrays.like(image, maps.uncertainty, "uncertainty", np.nan, made),
    )
