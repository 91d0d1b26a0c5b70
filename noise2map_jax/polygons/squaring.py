"""Outlines with right angles: edges are turned to the main direction of a polygon, or across."""

import numpy as np
import shapely

# Share of overlap (IoU) with the region that a squared polygon must keep.
LEAST_OVERLAP = 0.8


def squared(polygon: shapely.Polygon, axes: np.ndarray, tolerance: float) -> shapely.Polygon | None:
    """Return a polygon with right angles on the ground.

    The outline is simplified first, because the steps of pixels hide its direction. Runs of edges
    of one direction become one line at their mean place, and lines that follow each other are
    intersected.

    Args:
        polygon: in pixels.
        axes: [2, 2], what a step along the columns and along the rows is on the ground.
        tolerance: of the simplification, in pixels.

    Returns:
        In pixels; None where fewer than four edges would be left, the result would fall apart or
        would overlap the polygon by less than LEAST_OVERLAP.
    """
    centre = shapely.get_coordinates(polygon.centroid)[0]
    to_ground = (
        axes / np.hypot(*axes).max()
    )  # The longer side of a pixel is 1: steps are no larger.
    ground = shapely.transform(polygon, lambda points: (points - centre) @ to_ground.T)
    simple = shapely.simplify(ground, tolerance)
    turn = _main_direction(shapely.get_coordinates(simple.exterior))
    shell = _squared(shapely.get_coordinates(simple.exterior) @ turn)
    if shell is None:
        return None
    stored = [shapely.get_coordinates(hole) @ turn for hole in simple.interiors]
    # A hole that is too small to have four walls stays as it was.
    holes = [hole if (square := _squared(hole)) is None else square for hole in stored]
    result = shapely.Polygon(shell, holes)
    if not result.is_valid:  # a hole reaches beyond the new shell, or meets another one
        rings = shapely.make_valid([shapely.Polygon(ring) for ring in (shell, *holes)])
        result = shapely.difference(rings[0], shapely.union_all(rings[1:]))
    if result.geom_type != "Polygon" or not result.is_valid:
        return None
    back = np.linalg.inv(to_ground).T
    result = shapely.transform(result, lambda points: points @ turn.T @ back + centre)
    overlap = shapely.area(shapely.intersection(result, polygon))
    union = result.area + polygon.area - overlap
    return result if overlap >= LEAST_OVERLAP * union else None


def _main_direction(ring: np.ndarray) -> np.ndarray:
    """Return the turn [2, 2] that `points @ turn` lies along the axes with.

    The direction is the mean of those of the edges, each by the square of its length; edges at
    right angles count as one direction.
    """
    edges = np.diff(ring, axis=0)
    fourfold = (edges[:, 0] + 1j * edges[:, 1]) ** 4
    lengths = np.abs(edges[:, 0] + 1j * edges[:, 1])
    angle = np.angle((fourfold / lengths**2).sum()) / 4
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _squared(ring: np.ndarray) -> np.ndarray | None:
    """Return a ring with all edges along an axis, [2 K, 2]; None if it has fewer than four."""
    edges = np.diff(ring, axis=0)
    along = np.abs(edges[:, 0]) >= np.abs(edges[:, 1])
    changes = np.flatnonzero(along != np.roll(along, 1))
    if len(changes) < 4:
        return None
    first = changes[0]
    edges, along = np.roll(edges, -first, axis=0), np.roll(along, -first)
    middles = np.roll((ring[:-1] + ring[1:]) / 2, -first, axis=0)
    run = np.cumsum(along != np.roll(along, 1)) - 1
    lengths = np.hypot(*edges.T)
    place = np.where(along, middles[:, 1], middles[:, 0])
    lines = np.bincount(run, weights=lengths * place) / np.bincount(run, weights=lengths)
    after = np.roll(lines, -1)
    is_along = along[np.searchsorted(run, np.arange(len(lines)))]
    return np.stack([np.where(is_along, after, lines), np.where(is_along, lines, after)], axis=1)
