"""Images and maps as xarray's DataArrays, whose coordinates and CRS rioxarray reads and writes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio import Affine

from data_prep.imagery.grid import Grid, difference, same_grid
from noise2map_jax.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xarray import DataArray

# What says how stored numbers became those of the array, in `encoding` or `attrs`.
_SCALES = {"scale_factor": 1, "add_offset": 0}


def is_data_array(array: Any) -> bool:
    """Return whether an array is one of xarray's; it need not be installed."""
    return hasattr(array, "dims") and hasattr(array, "coords")


def as_stored(image: DataArray, name: str, bands: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of an image as its file holds them.

    Args:
        image: two dimensions in space and one of bands, in any order. Pixels without data equal
            `_FillValue` in all bands; or, read with `masked=True`, they are NaN.
        name: what the image is called in errors.
        bands: numbers of the bands to take, from 1; empty: all. Where bands have no numbers, all
            are taken, too.

    Returns:
        [H, W, C] of the file's type, and [H, W] bool, False for pixels without data.

    Raises:
        UserError: the dimensions do not say what they are, a band is missing, or the numbers are
            not those that a file holds.
    """
    rows, columns, band = _dimensions(image, name)
    fill = image.rio.encoded_nodata if image.dtype.kind == "f" else image.rio.nodata
    values = image.transpose(rows, columns, band)
    pixels = np.asarray(values)
    if pixels.dtype.kind == "f":
        known = ~np.isnan(pixels)
        pixels = _unmasked(image, name, pixels, known, fill)
    else:
        known = np.ones(pixels.shape, bool) if fill is None else pixels != fill
    valid = known.any(axis=-1)  # of all bands: a file's no-data value counts before some are chosen
    if bands and band in image.coords and image.coords[band].dtype.kind in "iu":
        numbers = image.coords[band].values.tolist()
        missing = [number for number in bands if number not in numbers]
        if missing:
            raise UserError(
                f"{name} has the bands {', '.join(map(str, numbers))}; the network was trained on"
                f" {', '.join(map(str, bands))} of its files, and {missing[0]} is missing"
            )
        pixels = pixels[..., [numbers.index(number) for number in bands]]
    return np.ascontiguousarray(pixels), valid


def check_place(image: DataArray, post: DataArray) -> None:
    """Check that the images of a pair lie on one grid, to a tenth of a pixel.

    Raises:
        UserError: they do not; the message says how they differ.
    """
    first, second = _grid(image, "image"), _grid(post, "post")
    same_size = (first.height, first.width) == (second.height, second.width)
    if first.is_placed and second.is_placed and not (same_size and same_grid(first, second)):
        raise UserError(
            f"post lies on another grid than image, with {difference(first, second)}:"
            " post.rio.reproject_match(image) brings it there"
        )


def like(
    image: DataArray,
    values: np.ndarray,
    name: str,
    fill: float,
    attrs: Mapping[str, Any],
    layers: tuple[str, ...] = (),
) -> DataArray:
    """Return a map with the coordinates and the CRS of its image.

    Args:
        image: the image.
        values: [H, W], or [H, W, K] for several layers.
        name: what the map shows.
        fill: value of pixels without data.
        attrs: what else to say of it.
        layers: names of the layers, the coordinate of the dimension `class`, which comes first.
    """
    import xarray

    rows, columns, band = _dimensions(image, "image")
    coords = {key: value for key, value in image.coords.items() if band not in value.dims}
    dims: tuple[str, ...] = (rows, columns)
    if layers:
        coords = {"class": ("class", list(layers)), **coords}
        dims, values = ("class", *dims), np.moveaxis(values, -1, 0)
    found = xarray.DataArray(values, coords, dims, name, dict(attrs))
    found.attrs["long_name"] = list(layers) or name  # rioxarray describes bands by it
    found.encoding["grid_mapping"] = image.rio.grid_mapping
    found.rio.set_spatial_dims(x_dim=columns, y_dim=rows, inplace=True)
    return found.rio.write_nodata(fill, inplace=True)


def _dimensions(image: DataArray, name: str) -> tuple[str, str, str]:
    """Return the names of the dimensions of rows, columns and bands."""
    try:
        import rioxarray.exceptions
    except ImportError:
        raise UserError(
            "arrays of xarray need rioxarray, which is not installed: pip install"
            " 'noise2map_jax[gis]'"
        ) from None
    try:
        rows, columns = image.rio.y_dim, image.rio.x_dim
    except rioxarray.exceptions.RioXarrayError:
        rows = columns = None
    others = [dim for dim in image.dims if dim not in (rows, columns)]
    if rows is None or len(others) != 1:
        raise UserError(
            f"{name} has the dimensions {', '.join(map(str, image.dims))}; expected y, x and one of"
            " bands (rename, image.rio.set_spatial_dims and expand_dims give them their names)"
        )
    return rows, columns, str(others[0])


def _unmasked(
    image: DataArray, name: str, pixels: np.ndarray, known: np.ndarray, fill: float | None
) -> np.ndarray:
    """Return masked pixels as their file holds them."""
    stored = image.encoding.get("dtype", image.encoding.get("rasterio_dtype"))
    kind = np.dtype(stored or np.float64)
    whole = pixels[known]
    scaled = any(image.encoding.get(key, value) != value for key, value in _SCALES.items())
    if kind.kind not in "iu" or scaled or (whole != np.floor(whole)).any():
        raise UserError(
            f"{name} is {image.dtype}, with values that were scaled or computed; expected pixels as"
            " the file holds them (rioxarray.open_rasterio(PATH) reads them so)"
        )
    least, greatest = np.iinfo(kind).min, np.iinfo(kind).max
    if whole.size and not (least <= whole.min() and whole.max() <= greatest):
        raise UserError(
            f"{name} holds {whole.min():g} to {whole.max():g}, and its file {kind}, whose values"
            f" are {least} to {greatest}: it was scaled; expected pixels as the file holds them"
        )
    return np.where(known, pixels, 0 if fill is None else fill).astype(kind)


def _grid(image: DataArray, name: str) -> Grid:
    rows, columns, _ = _dimensions(image, name)
    with warnings.catch_warnings():
        # Coordinates tell where a part of an image lies, but not those of a rotated one.
        warnings.filterwarnings("ignore", "Transform that is non-rectilinear")
        transform = Affine(*image.rio.transform(recalc=True)[:6])
    return Grid(image.sizes[rows], image.sizes[columns], transform, image.rio.crs)
