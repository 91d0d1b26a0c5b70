"""Connected regions of a class map that is read strip by strip, as polygons in pixels.

Regions of one class are connected by edges, not by corners. The polygon of a region is the same
however the map is cut into strips.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from rasterio import Affine
from rasterio.features import shapes
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from noise2map_jax.class_maps.class_map import Strip


@dataclass(frozen=True)
class Regions:
    """N regions.

    Attributes:
        polygons: [N] shapely polygons in pixels; (0, 0) is the first pixel's corner, y grows along
            the rows.
        classes: [N] class indices.
        means: [N] mean of the second image of the strips over a region's pixels, without those
            that are not finite; NaN where there is none.
    """

    polygons: np.ndarray
    classes: np.ndarray
    means: np.ndarray

    def __len__(self) -> int:
        return len(self.polygons)


@dataclass
class _Pieces:
    """What one strip shows of N regions: polygons, classes, and pixels and their sum for a mean."""

    polygons: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    sums: np.ndarray

    def chosen(self, which: np.ndarray) -> "_Pieces":
        values = (getattr(self, field.name)[which] for field in dataclasses.fields(self))
        return _Pieces(*values)


@dataclass
class _Unfinished:
    """A region that reaches the last row read so far."""

    class_index: int
    polygons: list[shapely.Polygon] = dataclasses.field(default_factory=list)
    count: float = 0.0
    sum: float = 0.0


def regions(strips: Iterable[Strip]) -> Iterator[Regions]:
    """Yield the regions of a map, each once it is complete.

    What is held are one strip and the regions that reach its last row.

    Args:
        strips: the map from its first row to its last.
    """
    unfinished: list[_Unfinished] = []
    border: np.ndarray | None = None  # [W] numbers of unfinished regions, from 1; 0: none
    first_row = 0
    for classes, values in strips:
        labels, pieces = _pieces(classes, values, first_row)
        border = np.zeros(labels.shape[1], int) if border is None else border
        finished, unfinished, border = _joined(labels, pieces, unfinished, border)
        yield from finished
        first_row += len(labels)
    if unfinished:
        yield _merged(unfinished)


def _joined(
    labels: np.ndarray, pieces: _Pieces, unfinished: list[_Unfinished], border: np.ndarray
) -> tuple[list[Regions], list[_Unfinished], np.ndarray]:
    """Join the pieces of a strip to the regions that the strip before left unfinished.

    Returns:
        What is finished, what is not, and the numbers of the latter along the last row.
    """
    before, count = len(unfinished), len(pieces.classes)
    group = _groups(labels[0], pieces, unfinished, border)  # [before + count]
    reaching = np.unique(labels[-1])
    reaching = np.unique(group[before + reaching[reaching > 0] - 1])
    in_one_strip = ~np.isin(group[before:], np.concatenate([group[:before], reaching]))
    alone = pieces.chosen(in_one_strip)
    finished = [Regions(alone.polygons, alone.classes, _mean(alone.sums, alone.counts))]

    joined: dict[int, _Unfinished] = {}
    for region, name in zip(unfinished, group[:before].tolist(), strict=True):
        into = joined.setdefault(name, _Unfinished(region.class_index))
        into.polygons += region.polygons
        into.count, into.sum = into.count + region.count, into.sum + region.sum
    for i in np.flatnonzero(~in_one_strip).tolist():
        into = joined.setdefault(
            int(group[before + i]), _Unfinished(class_index=int(pieces.classes[i]))
        )
        into.polygons.append(pieces.polygons[i])
        into.count, into.sum = into.count + pieces.counts[i], into.sum + pieces.sums[i]

    numbers = {name: number for number, name in enumerate(reaching.tolist(), 1)}
    complete = [region for name, region in joined.items() if name not in numbers]
    if complete:
        finished.append(_merged(complete))
    number_of = np.zeros(count + 1, int)
    number_of[1:] = [numbers.get(name, 0) for name in group[before:].tolist()]
    return finished, [joined[name] for name in numbers], number_of[labels[-1]]


def _groups(
    first_row: np.ndarray, pieces: _Pieces, unfinished: list[_Unfinished], border: np.ndarray
) -> np.ndarray:
    """Number what belongs together: the unfinished regions, then the pieces below them."""
    above = np.array([0, *(region.class_index for region in unfinished)])[border]
    below = np.concatenate([[0], pieces.classes])[first_row]
    touch = (above == below) & (border > 0)
    size = len(unfinished) + len(pieces.classes)
    edges = sparse.coo_array(
        (np.ones(touch.sum(), bool), (border[touch] - 1, len(unfinished) + first_row[touch] - 1)),
        shape=(size, size),
    )
    return csgraph.connected_components(edges, directed=False)[1]


def _pieces(
    classes: np.ndarray, values: np.ndarray | None, first_row: int
) -> tuple[np.ndarray, _Pieces]:
    """Label the connected pixels of one class in a strip.

    Returns:
        Labels [h, W], 0 or the number of a piece from 1; the pieces.
    """
    labels = np.zeros(classes.shape, np.int32)
    class_of: list[int] = []
    for index in np.unique(classes).tolist():
        if index:
            found, count = ndimage.label(classes == index)  # connected by edges
            np.add(labels, found + len(class_of), out=labels, where=found > 0)
            class_of += [index] * count
    sums: np.ndarray = np.zeros(len(class_of))
    counts: np.ndarray = sums
    if values is not None:
        good = np.isfinite(values) & (labels > 0)
        flat = labels[good]
        counts = np.bincount(flat, minlength=len(class_of) + 1)[1:]
        sums = np.bincount(flat, weights=values[good], minlength=len(class_of) + 1)[1:]
    polygons = _polygons(labels, first_row)
    return labels, _Pieces(polygons, np.array(class_of, int), counts, sums)


def _polygons(labels: np.ndarray, first_row: int) -> np.ndarray:
    """Return the polygon of each label, in the order of the labels from 1."""
    points: list[tuple[float, float]] = []
    ring_sizes: list[int] = []
    ring_counts: list[int] = []
    found: list[float] = []
    outlines = shapes(
        labels, mask=labels > 0, connectivity=4, transform=Affine.translation(0, first_row)
    )
    for geometry, label in outlines:
        rings = geometry["coordinates"]
        points.extend(itertools.chain.from_iterable(rings))
        ring_sizes += map(len, rings)
        ring_counts.append(len(rings))
        found.append(label)
    polygons = np.empty(len(found), object)
    if found:
        rings = shapely.linearrings(np.array(points), indices=_repeated(ring_sizes))
        polygons[np.array(found, int) - 1] = shapely.polygons(rings, indices=_repeated(ring_counts))
    return polygons


def _repeated(counts: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def _merged(unfinished: list[_Unfinished]) -> Regions:
    """Unite the pieces of each region."""
    polygons = np.empty(len(unfinished), object)
    polygons[:] = [_united(region.polygons) for region in unfinished]
    sums, counts = np.array([(region.sum, region.count) for region in unfinished], float).T
    return Regions(
        polygons, np.array([region.class_index for region in unfinished]), _mean(sums, counts)
    )


def _united(polygons: list[shapely.Polygon]) -> shapely.Polygon:
    if len(polygons) == 1:
        return polygons[0]
    # Holes never reach the border of a strip, so they stay as they are. GEOS would look for the
    # shell of each one: a class that covers most of a map has very many.
    union = shapely.union_all(  # exact: all corners are whole numbers
        [shapely.Polygon(polygon.exterior) for polygon in polygons]
    )
    holes = [_corners(hole) for hole in union.interiors]
    holes += [hole for polygon in polygons for hole in polygon.interiors]
    return shapely.Polygon(_corners(union.exterior), holes)


def _corners(ring: shapely.LinearRing) -> np.ndarray:
    """Return a ring without the points that the border of a strip left on straight edges."""
    points = shapely.get_coordinates(ring)[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def _mean(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
