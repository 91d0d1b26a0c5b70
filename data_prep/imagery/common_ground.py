"""What two images have in common: how much of the ground, and how fine one is against the other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from rasterio import Affine
from rasterio.crs import CRS

from data_prep.imagery.grid import ALIGNED, Grid, crs_name, lattice, positions, reprojected

_POINTS_A_SIDE = 200  # Of the lattice that measures areas: shares are right to about a percent.
_EDGE_POINTS = 65


@dataclass(frozen=True)
class CommonGround:
    """How the second grid lies to the first, where both hold pixels.

    Attributes:
      share: Share of the first image's area that the second covers, 0 to 1.
      scale: Columns and rows of the second image along a pixel of the first, in whatever direction
        that lies: above 1, the second is finer.
      by_whole_pixels: Whether every pixel of the second lies on one pixel of the first.
    """

    share: float
    scale: tuple[float, float]
    by_whole_pixels: bool


def common_ground(first: Grid, second: Grid) -> CommonGround | None:
    """Compare two grids; None if they have no ground in common.

    Args:
      first: Grid of the image onto which the second is to be brought.
      second: Grid of the other image. Where one of the two names no CRS, its coordinates count as
        those of the other's.
    """
    columns, rows = _middles(first)
    there = positions(first, columns, rows, second)
    inside = _inside(there, second)
    here = np.stack([columns, rows], axis=1)[inside]
    if not inside.any():
        here = _touching(first, second)
        if not len(here):
            return None
        there = positions(first, here[:, 0], here[:, 1], second)
    else:
        there = there[inside]
    apart = there - here
    moved = np.round(np.median(apart, axis=0))
    return CommonGround(
        share=float(inside.mean()),
        scale=_scale(first, second, here[len(here) // 2]),
        by_whole_pixels=bool(np.abs(apart - moved).max() < ALIGNED),
    )


def bounds(grid: Grid, crs: CRS | None) -> str:
    """Say in words where an image lies.

    Args:
      grid: Its grid.
      crs: The CRS of the numbers; None: that of the grid.
    """
    points = grid.coordinates(*lattice(grid.height, grid.width, _EDGE_POINTS))
    named = grid.crs
    if crs and grid.crs:
        moved = reprojected(points, grid.crs, crs)
        moved = moved[np.isfinite(moved).all(axis=1)]
        if len(moved):
            points, named = moved, crs
    (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
    where = f" of {crs_name(named)}" if named else ""
    return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}{where}"


def plain(grid: Grid) -> Grid | None:
    """Return the grid by an affine transform alone, as a warped image needs; None if it has none.

    Control points and polynomials that are an affine transform, to a tenth of a pixel, have one.
    """
    affine = dataclasses.replace(grid, points=(), rpcs=())
    if affine == grid:
        return grid
    columns, rows = lattice(grid.height, grid.width, _EDGE_POINTS)
    seen = affine.pixels(grid.coordinates(columns, rows))
    distance = np.hypot(seen[:, 0] - columns, seen[:, 1] - rows)
    return affine if bool((distance < ALIGNED).all()) else None


def beside(grid: Grid, target: Grid) -> Grid:
    """Return the same grid with its longitudes counted so that it lies next to the target.

    Longitudes of 181 and -179 degrees are the same.
    """
    if not (grid.crs and grid.crs.is_geographic and target.crs) or grid.rpcs:
        return grid
    middle = target.coordinates(np.array([target.width / 2]), np.array([target.height / 2]))
    own = (grid.transform * (grid.width / 2, grid.height / 2))[0]
    turns = np.round((reprojected(middle, target.crs, grid.crs)[0, 0] - own) / 360)
    if not np.isfinite(turns) or not turns:
        return grid
    a, b, c, d, e, f = grid.transform[:6]
    points = tuple((row, col, x + 360 * turns, y, z) for row, col, x, y, z in grid.points)
    return dataclasses.replace(
        grid, transform=Affine(a, b, c + 360 * turns, d, e, f), points=points
    )


def _middles(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of equal parts of an image: as many as its pixels, or _POINTS_A_SIDE^2."""
    num_columns, num_rows = min(grid.width, _POINTS_A_SIDE), min(grid.height, _POINTS_A_SIDE)
    columns, rows = np.meshgrid(
        (np.arange(num_columns) + 0.5) * (grid.width / num_columns),
        (np.arange(num_rows) + 0.5) * (grid.height / num_rows),
    )
    return columns.ravel(), rows.ravel()


def _inside(points: np.ndarray, grid: Grid, margin: float = 0.0) -> np.ndarray:
    """Return which (column, row) lie in an image, by more than a margin in pixels."""
    with np.errstate(invalid="ignore"):
        low, high = points > margin, points < np.array([grid.width, grid.height]) - margin
    return np.isfinite(points).all(axis=1) & low.all(axis=1) & high.all(axis=1)


def _touching(first: Grid, second: Grid) -> np.ndarray:
    """Return (column, row) [N, 2] in the first image of ground that lies between `_middles`."""
    columns, rows = lattice(first.height, first.width, _EDGE_POINTS)
    seen = _inside(positions(first, columns, rows, second), second, ALIGNED)
    here = np.stack([columns, rows], axis=1)[seen]
    back = positions(second, *lattice(second.height, second.width, _EDGE_POINTS), first)
    return np.concatenate([here, back[_inside(back, first, ALIGNED)]])


def _scale(first: Grid, second: Grid, at: np.ndarray) -> tuple[float, float]:
    column, row = at
    columns = np.array([column - 0.5, column + 0.5, column, column])
    rows = np.array([row, row, row - 0.5, row + 0.5])
    left, right, top, bottom = positions(first, columns, rows, second)
    num_columns, num_rows = np.hypot(right - left, bottom - top)
    return float(num_columns), float(num_rows)
