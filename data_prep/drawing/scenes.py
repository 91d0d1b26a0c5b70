"""Synthetic aerial scenes with exact masks: one date, two with their change, or a series of dates.

A pixel of the drawing covers about `PIXEL_SIZE` of ground; a picture has one, two or four pixels
for it along each axis. The mask is 1 where the centre of a picture's pixel lies in a footprint;
image and mask are rendered from the same geometry. A scene depends only on the generator's state,
the size and the detail.
"""

import math
from typing import NamedTuple

import numpy as np

from data_prep.drawing.buildings import rebuild
from data_prep.drawing.canvas import Canvas, Material, Noise
from data_prep.drawing.city import draw_city
from data_prep.drawing.clutter import Cars, Trees, draw_foliage, paint_cars, paint_trees
from data_prep.drawing.ground import Cover, Patch, draw_palette, paint_patch, paint_streets, season
from data_prep.drawing.light import draw_light, expose
from data_prep.drawing.movables import clear, draw_blobs, draw_cars, draw_trees, fell, wear
from data_prep.drawing.plan import Site
from data_prep.drawing.roofs import Building, mark_footprint, paint
from data_prep.drawing.suburb import draw_suburb

PIXEL_SIZE = 0.8  # Metres.
DETAILS = (1, 2, 4)  # Pixels of a picture a pixel of the drawing, along each axis.
TOWNS = {"suburb": draw_suburb, "city": draw_city}  # What a scene may show.
SHARE = (0.06, 0.14)  # Least and largest share of a pair's pixels that change.
_NO_CHANGE = 1 / 12  # Share of pairs in which no building changes.
_SOWN = 0.4  # Share of crops that differ from date to date.
_SHIFT = 0.4  # Largest shift between two dates, in pixels along each axis.


class _Ground(NamedTuple):
    """The properties of a site, besides its plan, that stay from date to date."""

    palette: list[Material]
    base: Cover  # Between the lots.
    fine: Noise
    middle: Noise
    finest: Noise | None  # Of the picture's pixels, where they are smaller than the drawing's.

    @classmethod
    def draw(cls, rng: np.random.Generator, site: Site) -> "_Ground":
        """Draw the ground of a site."""
        base = Cover.LAWN if rng.random() < 0.5 else Cover.MEADOW
        fine, middle = Noise.draw(rng, site.size, 1.0), Noise.draw(rng, site.size, 7.0)
        palette = draw_palette(rng)
        finest = Noise.draw(rng, site.size, 1 / site.detail) if site.detail > 1 else None
        return cls(palette, base, fine, middle, finest)

    def grain(self, canvas: Canvas) -> np.ndarray:
        """Sample the noise of unit variance that is as fine as the picture."""
        fine = self.fine.sample(canvas)
        if self.finest is None:
            return fine
        return (fine + self.finest.sample(canvas)) * np.float32(math.sqrt(0.5))


class _Date(NamedTuple):
    """The objects on a site on one day, and the season."""

    patches: tuple[Patch, ...]
    buildings: tuple[Building, ...]
    trees: Trees
    cars: Cars
    dryness: float  # See `ground.season`.
    bare: bool  # Whether leaves are shed.


def segmentation_scene(
    rng: np.random.Generator, size: int, town: str = "suburb", detail: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image and the footprints of its buildings.

    Args:
        rng: the only source of randomness.
        size: side of the tile, in pixels of the drawing.
        town: a key of `TOWNS`.
        detail: one of `DETAILS`.

    Returns:
        image uint8 [S, S, 3]; mask uint8 [S, S, 1], 1 = building; S = size * detail.
    """
    site = TOWNS[town](rng, size)._replace(detail=detail)
    ground, mask = _Ground.draw(rng, site), _union(site.buildings, site)
    patches = site.patches + draw_blobs(rng, size)
    trees = fell(draw_trees(rng, site), site, mask)
    cars, bare = draw_cars(rng, site), bool(rng.random() < 0.2)
    date = _Date(patches, site.buildings, trees, cars, rng.random(), bare)
    image = _picture(rng, site, ground, date, (0.0, 0.0))
    return image, mask.astype(np.uint8)[:, :, None]


def change_scene(
    rng: np.random.Generator,
    size: int,
    town: str = "suburb",
    detail: int = 1,
    *,
    share: tuple[float, float] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw two dates of a site and the buildings that changed between them.

    A pixel has changed where a building is new, gone or rebuilt (both footprints), or where a
    wing was added to a building or taken from it. Light, season, cars, trees, crops, bare ground,
    sensor and registration differ as well, but count as no change.

    Args:
        rng: the only source of randomness.
        size: side of the tile, in pixels of the drawing.
        town: a key of `TOWNS`.
        detail: one of `DETAILS`.
        share: least and largest share of the tile that changes, as far as its buildings allow. By
            default `SHARE`, and no change at all in one pair of twelve.

    Returns:
        pre, post uint8 [S, S, 3]; mask uint8 [S, S, 1], 1 = changed; S = size * detail.
    """
    site = TOWNS[town](rng, size)._replace(detail=detail)
    ground = _Ground.draw(rng, site)
    if share is None:
        share = (0.0, 0.0) if rng.random() < _NO_CHANGE else SHARE
    pre, post, mask = _alter(rng, site, rng.uniform(*share))
    blobs, trees = draw_blobs(rng, size), draw_trees(rng, site)
    shift, dryness = rng.uniform(-_SHIFT / 2, _SHIFT / 2, 2), rng.random()
    images = []
    for buildings, sign in ((pre, -1), (post, 1)):
        offset = (sign * float(shift[0]), sign * float(shift[1]))
        images.append(_revisit(rng, site, ground, buildings, blobs, trees, dryness, offset))
    return images[0], images[1], mask.astype(np.uint8)[:, :, None]


def series(
    rng: np.random.Generator, size: int, num_dates: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw a site that is built up over several dates.

    About a fifth of the buildings stand from the first date to the last; most of the others are
    built at one of the dates, and a few are pulled down. Everything else differs between dates as
    in `change_scene`.

    Args:
        rng: the only source of randomness.
        size: side of the tile, in pixels.
        num_dates: number of dates.

    Returns:
        For each date: image uint8 [size, size, 3]; mask uint8 [size, size, 1], 1 = building.
    """
    site = draw_suburb(rng, size)
    ground, number = _Ground.draw(rng, site), len(site.buildings)
    built = np.where(rng.random(number) < 0.2, 0, rng.integers(1, num_dates + 1, number))
    gone = np.where(rng.random(number) < 0.1, rng.integers(1, num_dates + 1, number), num_dates)
    blobs, trees, dryness = draw_blobs(rng, size), draw_trees(rng, site), rng.random()
    dates = []
    for date in range(num_dates):
        standing = tuple(
            building
            for building, first, last in zip(site.buildings, built, gone, strict=True)
            if first <= date < last
        )
        shift = rng.uniform(-_SHIFT / 2, _SHIFT / 2, 2)
        offset = (float(shift[0]), float(shift[1]))
        image = _revisit(rng, site, ground, standing, blobs, trees, dryness, offset)
        dates.append((image, _union(standing, site).astype(np.uint8)[:, :, None]))
    return dates


def _revisit(
    rng: np.random.Generator,
    site: Site,
    ground: _Ground,
    buildings: tuple[Building, ...],
    blobs: tuple[Patch, ...],
    trees: Trees,
    dryness: float,
    shift: tuple[float, float],
) -> np.ndarray:
    """Picture one of several dates of a site; draw everything that comes and goes anew."""
    cleared = clear(rng, site.buildings, buildings)
    patches = wear(rng, site.patches) + blobs[: rng.integers(len(blobs) + 1)]
    patches += draw_blobs(rng, site.size) + cleared
    kept = trees.keep(rng.random(len(trees.x)) < 0.9)
    kept = fell(kept, site, _union(buildings, site))
    dry = dryness + rng.uniform(-0.35, 0.35)
    bare = bool(rng.random() < 0.2)
    date = _Date(patches, buildings, kept, draw_cars(rng, site), dry, bare)
    return _picture(rng, site, ground, date, shift)


def _union(buildings: tuple[Building, ...], site: Site) -> np.ndarray:
    mask = _nowhere(site)
    for building in buildings:
        mark_footprint(mask, building, site.detail)
    return mask


def _nowhere(site: Site) -> np.ndarray:
    """Return a mask of the picture that holds nothing."""
    return np.zeros((site.size * site.detail,) * 2, bool)


def _alter(
    rng: np.random.Generator, site: Site, target: float
) -> tuple[tuple[Building, ...], tuple[Building, ...], np.ndarray]:
    """Add, remove and change buildings until the share `target` of the tile has changed.

    In cities roofs overlap, and the building that is painted last shows: what happens below it
    changes nothing.
    """
    pre: dict[int, Building] = dict(enumerate(site.buildings))
    post, top = dict(pre), _top(site)
    mask = _nowhere(site)
    for index in rng.permutation(len(pre)):
        if mask.mean() >= target:
            break
        building, kind = pre[index], rng.random()
        changed = _union((building,), site)
        if len(building.parts) > 1 and kind < 0.4:
            smaller = building._replace(parts=building.parts[:-1])
            (pre if rng.random() < 0.65 else post)[index] = smaller
            changed &= ~_union((smaller,), site)
        elif kind < 0.65:
            del pre[index]
        elif kind < 0.95:
            del post[index]
        else:
            post[index] = rebuild(rng, building)
            mark_footprint(changed, post[index], site.detail)
        mask |= changed & (top <= index)
    return tuple(pre.values()), tuple(post.values()), mask


def _top(site: Site) -> np.ndarray:
    """Return the number of the building that shows at each pixel [S, S], -1 for none."""
    top = np.full(_nowhere(site).shape, -1)
    for index, building in enumerate(site.buildings):
        top[_union((building,), site)] = index
    return top


def _picture(
    rng: np.random.Generator,
    site: Site,
    ground: _Ground,
    date: _Date,
    shift: tuple[float, float],
) -> np.ndarray:
    """Paint a date of a site, draw light and sensor, and take the picture."""
    canvas = Canvas(site.size, shift, site.detail)
    for material in season(rng, ground.palette, date.dryness, _SOWN):
        canvas.add_material(material)
    fine, middle = ground.grain(canvas), ground.middle.sample(canvas)
    canvas.material[:] = ground.base
    for patch in date.patches:
        paint_patch(canvas, patch, middle)
    paint_streets(canvas, site.streets)
    for building in date.buildings:
        paint(canvas, building)
    paint_cars(canvas, date.cars)
    paint_trees(canvas, date.trees, draw_foliage(rng, date.dryness), date.bare, fine)
    return expose(canvas, draw_light(rng, site.weather), fine, middle, rng)
