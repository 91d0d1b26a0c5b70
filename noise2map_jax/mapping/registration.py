"""Measures the shift between what two images on one grid show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rasterio.crs import CRS
from scipy.ndimage import gaussian_filter

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid, reprojected
from data_prep.imagery.image_file import ImageFile
from noise2map_jax.errors import UserError

_SIDE = 256  # Of the windows that are compared, pixels; smaller in small scenes.
_LEAST_SIDE = 32
_WINDOWS_A_SIDE = 6  # Windows are spread over the scene in so many rows and columns, or fewer:
_OVERLAP = 0.5  # neighbours share at most this part, because they are to count as independent.
_LEAST_WINDOWS = 5  # Of 9 windows of noise, 3 were seen to agree.
_LEAST_VALID = 0.9  # Share of a window's pixels that must hold data in both images.
_NEAR = 1.0  # Windows agree whose shifts lie within so many pixels,
_AGREEING = 1 / 3  # and the shift is clear if this share of all windows agrees, and _LEAST_WINDOWS.
_UPSAMPLING = 50  # A window's shift is found to 1 / 50 of a pixel.
# Differences of two Gaussian blurs, in pixels: light and haze go, edges stay, noise counts less.
# Against plain grey and against phases alone, it has the least error on real pairs whose second
# date is shifted by (2.5, -1.5) pixels: 0.02 pixels at most, against 0.14 and 0.27.
_FINE, _COARSE = 0.8, 6.0
_WGS84 = CRS.from_epsg(4326)


@dataclasses.dataclass(frozen=True)
class Registration:
    """The shift between two images.

    Attributes:
        shift: columns and rows from where the first image shows a thing to where the second does.
        spread: standard deviation of the agreeing windows' shifts along an axis, pixels.
        num_agreeing: number of windows that agree to a pixel.
        num_windows: number of windows compared.
    """

    shift: tuple[float, float]
    spread: float
    num_agreeing: int
    num_windows: int

    @property
    def is_clear(self) -> bool:
        """Whether enough windows agree on the shift."""
        return self.num_agreeing >= max(_LEAST_WINDOWS, _AGREEING * self.num_windows)

    def in_words(self, grid: Grid) -> str:
        """Say what was found, in pixels and metres; `grid` is that of the first image."""
        if self.num_windows < _LEAST_WINDOWS:
            return (
                f"their shift is not known, because only {self.num_windows} windows hold data and"
                f" detail in both; {_LEAST_WINDOWS} are needed"
            )
        if not self.is_clear:
            return (
                f"their shift is not clear, because only {self.num_agreeing} of {self.num_windows}"
                " windows agree on one to a pixel"
            )
        length = metres(grid, self.shift)
        told = "" if length is None else f" ({length:.2f} m)"
        columns, rows = self.shift
        return (
            f"what they show is {columns:+.2f} columns and {rows:+.2f} rows apart{told}:"
            f" {self.num_agreeing} of {self.num_windows} windows agree, with a spread of"
            f" {self.spread:.2f} pixels"
        )


def measured(first: ImageFile, second: ImageFile) -> Registration:
    """Measure the shift between two images on one grid.

    Windows are compared by the peak of their cross-correlation (Guizar-Sicairos et al., 2008,
    doi:10.1364/OL.33.000156, as in scikit-image). The shift is the median over the most windows
    that agree: where the ground has changed, windows show anything. It is done again with windows
    of the second image moved by the whole pixels found at first.

    Raises:
        UserError: scikit-image is not installed, or an image cannot be read.
    """
    correlate = _cross_correlation()
    height, width = first.grid.height, first.grid.width
    side = min(_SIDE, 2 * min(height, width) // 5)  # Several in a row, even after a shift.
    if side < _LEAST_SIDE:
        return Registration((0.0, 0.0), 0.0, 0, 0)
    found = Registration((0.0, 0.0), 0.0, 0, 0)
    for _ in range(2):
        offset = (round(found.shift[0]), round(found.shift[1]))
        shifts = [correlate(*details) for details in _windows(first, second, side, offset)]
        if not shifts:
            break
        found = _agreed(np.array(shifts) + offset)
    return found


def _agreed(shifts: np.ndarray) -> Registration:
    """Return what most of the shifts [N, 2] agree on."""
    distances = np.hypot(*np.moveaxis(shifts[:, None] - shifts, -1, 0))
    near = distances < _NEAR
    agreeing = shifts[near[near.sum(axis=1).argmax()]]
    column, row = np.median(agreeing, axis=0).tolist()
    spread = float(np.sqrt(agreeing.var(axis=0).mean()))
    return Registration((column, row), spread, len(agreeing), len(shifts))


def metres(grid: Grid, shift: tuple[float, float]) -> float | None:
    """Return the length of a shift in the middle of an image; None if it does not say where it is.

    Args:
        grid: the image's grid.
        shift: columns and rows.
    """
    if not grid.is_placed or grid.crs is None:
        return None
    columns = grid.width / 2 + np.array([0, shift[0]])
    rows = grid.height / 2 + np.array([0, shift[1]])
    points = grid.coordinates(columns, rows)
    (longitude, latitude), _ = reprojected(points, grid.crs, _WGS84)
    if not np.isfinite([longitude, latitude]).all():
        return None
    around = CRS.from_string(f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +datum=WGS84")
    start, end = reprojected(points, grid.crs, around)
    return float(np.hypot(*(end - start)))


def _cross_correlation() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    try:
        from skimage.registration import phase_cross_correlation
    except ModuleNotFoundError:
        raise UserError(
            "--register needs scikit-image, which is not installed: pip install"
            " 'noise2map_jax[gis]'"
        ) from None

    def correlate(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        result: Any = phase_cross_correlation(
            one, two, upsample_factor=_UPSAMPLING, normalization=None
        )
        return -np.asarray(result[0])[::-1]  # To columns and rows, from the first to the second.

    return correlate


def _windows(
    first: ImageFile, second: ImageFile, side: int, offset: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield details [S, S] of both images in windows that hold data, the second's moved."""
    column_offset, row_offset = offset
    rows = _starts(first.grid.height, side, row_offset)
    columns = _starts(first.grid.width, side, column_offset)
    for row in rows:
        for column in columns:
            one = _detail(first, (row, column, side, side))
            two = _detail(second, (row + row_offset, column + column_offset, side, side))
            if one is not None and two is not None:
                yield one, two


def _starts(size: int, side: int, offset: int) -> list[int]:
    """Return first pixels of windows that lie inside in both images."""
    low, high = max(0, -offset), size - side - max(0, offset)
    if low > high:
        return []
    number = min(_WINDOWS_A_SIDE, 1 + int((high - low) / (side * (1 - _OVERLAP))))
    return [int(start) for start in np.linspace(low, high, number)]


def _detail(image: ImageFile, window: tuple[int, int, int, int]) -> np.ndarray | None:
    """Return edges [S, S] that fade towards the border; None where there is too little data."""
    try:
        raster = image.read(window)
    except ReadError as error:
        raise UserError(f"image {str(image.path)!r} {error}") from None
    grey = raster.pixels.mean(axis=-1, dtype=np.float64)
    if raster.valid is not None:
        if raster.valid.mean() < _LEAST_VALID:
            return None
        grey = np.where(raster.valid, grey, grey[raster.valid].mean())
    if np.ptp(grey) == 0:
        return None
    detail = gaussian_filter(grey, _FINE) - gaussian_filter(grey, _COARSE)
    fade = np.hanning(len(detail) + 2)[1:-1]
    return detail * fade[:, None] * fade
