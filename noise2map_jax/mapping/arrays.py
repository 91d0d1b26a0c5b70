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
from noise2map_jax.mapping import scene
from noise2map_jax.mapping.layers import most_probable
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import check_number, strips_of
from noise2map_jax.method.losses import IGNORE

BANDS = ("band", "bands", "channel", "channels", "c")  # names of an xarray dimension of bands


@dataclasses.dataclass(frozen=True)
class Maps:
    """The maps of a scene: arrays, or xarray's with the coordinates of the image.

    Attributes:
        classes: [H, W] uint8, class indices; 255 where the image holds no data.
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
    """Map an image or a pair of any size, as the command line does.

    Args:
        model: the network.
        image: [H, W, C] uint8 or uint16 as stored, unscaled: the type and bands of training. Or an
            `xarray.DataArray` with a dimension `band` and two others, such as
            `rioxarray.open_rasterio` gives. For a pair: the earlier one.
        post: for a pair: the later one, on the same grid.
        valid: [H, W] bool, False for pixels without data; None: all hold data, but those of an
            xarray's that equal its `_FillValue`.
        **options: fields of `PredictionOptions`: timesteps, tile_size, margin, overlap, batch_size,
            symmetries, threshold.

    Raises:
        UserError: the arrays do not fit the network or each other, or an option is invalid.
    """
    given = [array for array in (image, post) if array is not None]
    check_number(model, given)
    chosen = PredictionOptions(**options)
    pixels = [_pixels(array) for array in given]
    masks = [_valid(array, of) for array, of in zip(given, pixels, strict=True)]
    if valid is not None:
        masks.append(np.asarray(valid, bool))
    _check(given, pixels, masks)
    images = [_opened(array, np.logical_and.reduce(masks)) for array in pixels]
    scene.check_images(images, model.config.data.num_bands, model.config.data.dtype)
    height, width = pixels[0].shape[:2]
    threshold = model.threshold(chosen)
    values = np.empty((height, width, len(model.classes) + 1), np.float32)
    for strip in strips_of(model, images, chosen):
        rows = slice(strip.row, strip.row + strip.valid.shape[0])
        columns = slice(strip.column, strip.column + strip.valid.shape[1])
        values[rows, columns] = np.where(strip.valid[..., None], strip.values, np.nan)
    known = np.isfinite(values[..., 0])
    classes = np.where(known, most_probable(values[..., :-1], threshold), IGNORE).astype(np.uint8)
    maps = Maps(classes, values[..., :-1], values[..., -1])
    return _like(image, maps, model.classes) if _is_xarray(image) else maps


def _is_xarray(array: Any) -> bool:
    return hasattr(array, "dims") and hasattr(array, "coords")


def _band_dimension(array: Any) -> str:
    named = [name for name in array.dims if str(name).lower() in BANDS]
    if len(array.dims) != 3 or len(named) != 1:
        raise UserError(
            f"an image has the dimensions {', '.join(map(str, array.dims))}; expected three, of"
            f" which one is called {BANDS[0]}"
        )
    return str(named[0])


def _pixels(array: Any) -> np.ndarray:
    if _is_xarray(array):
        array = array.transpose(..., _band_dimension(array))
    pixels = np.asarray(array)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise UserError(f"an image has the shape {pixels.shape}; expected [rows, columns, bands]")
    return pixels


def _valid(array: Any, pixels: np.ndarray) -> np.ndarray:
    fill = array.attrs.get("_FillValue") if _is_xarray(array) else None
    if fill is None:
        return np.ones(pixels.shape[:2], bool)
    return np.asarray((pixels != fill).any(axis=-1))


def _check(given: list[Any], pixels: list[np.ndarray], masks: list[np.ndarray]) -> None:
    sizes = [array.shape[:2] for array in (*pixels, *masks)]
    if len(set(sizes)) > 1:
        raise UserError(
            f"images and valid differ in size: {', '.join(f'{h} x {w}' for h, w in sizes)} pixels"
        )
    if len(given) == 2 and all(map(_is_xarray, given)):
        first, second = given
        for name in first.dims:
            both = name in first.coords and name in second.coords
            if both and str(name).lower() not in BANDS:
                one, two = first.coords[name].values, second.coords[name].values
                step = abs(one[1] - one[0]) if len(one) > 1 else 1.0
                if abs(one - two).max() > 0.1 * step:
                    raise UserError(
                        f"the images lie at other coordinates {name} ({one[0]:g} to {one[-1]:g} and"
                        f" {two[0]:g} to {two[-1]:g}); bring the second onto the first with"
                        " post.rio.reproject_match(image)"
                    )


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


def _like(image: Any, maps: Maps, classes: tuple[str, ...]) -> Maps:
    """Give maps the coordinates and the CRS of an xarray's image."""
    import xarray

    band = _band_dimension(image)
    places = [name for name in image.dims if name != band]
    coords = {
        name: value
        for name, value in image.coords.items()
        if band not in getattr(value, "dims", ())
    }

    def like(values: np.ndarray, name: str, fill: float, **attrs: Any) -> Any:
        array = xarray.DataArray(values, coords, places, name)
        array.attrs = {"_FillValue": fill} | attrs
        return array

    each = xarray.concat(
        [like(maps.probabilities[..., k], "probability", np.nan) for k in range(len(classes))],
        xarray.DataArray(list(classes), dims="class", name="class"),
    )
    return Maps(
        like(maps.classes, "class", IGNORE, classes=list(classes)),
        each,
        like(maps.uncertainty, "uncertainty", np.nan),
    )
