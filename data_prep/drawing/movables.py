"""What differs from date to date on a site: worn and cleared ground, trees, cars."""

import math

import numpy as np

from data_prep.drawing.clutter import CAR_PAINTS, SPECIES, Cars, Trees
from data_prep.drawing.ground import Cover, Patch
from data_prep.drawing.plan import Site
from data_prep.drawing.roofs import Building


def draw_blobs(rng: np.random.Generator, size: int) -> tuple[Patch, ...]:
    """Draw bare and worn patches of ground, which come and go from date to date."""
    blobs = []
    for _ in range(rng.poisson(3.0 * (size / 128) ** 2)):
        a, b = rng.uniform(3.0, 11.0), rng.uniform(3.0, 8.0)
        x, y, angle = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(0, math.pi)
        cover = Cover.SOIL if rng.random() < 0.7 else Cover.MEADOW
        blobs.append(Patch(x, y, angle, a, b, cover, rng.uniform(0.85, 1.2), ragged=True))
    return tuple(blobs)


def draw_trees(rng: np.random.Generator, site: Site) -> Trees:
    """Draw trees along the lots and in the groves; some stand on streets or in buildings."""
    size = site.size
    density = rng.uniform(8.0, 45.0)
    free = rng.poisson(density * (size / 128) ** 2)
    x, y = rng.uniform(-4, size + 4, free), rng.uniform(-4, size + 4, free)
    for gx, gy, radius in site.groves:
        n = rng.poisson(0.02 * math.pi * radius * radius)
        x = np.concatenate([x, gx + radius * rng.normal(0.0, 0.5, n)])
        y = np.concatenate([y, gy + radius * rng.normal(0.0, 0.5, n)])
    n = len(x)
    crown = rng.uniform(*site.crowns, n)
    return Trees(
        x,
        y,
        crown,
        height=crown * rng.uniform(1.2, 1.8, n) + 2,
        tone=rng.uniform(0.8, 1.2, n),
        species=rng.integers(SPECIES, size=n),
    )


def draw_cars(rng: np.random.Generator, site: Site) -> Cars:
    """Draw the cars of one date, in some of the bays and on the streets."""
    streets, size = site.streets, site.size
    fill = rng.uniform(0.1, 0.7)
    places = [bay for bay in site.bays if rng.random() < fill]
    places = [(x, y, angle + rng.normal(0.0, 0.04)) for x, y, angle in places]
    reach = 0.75 * size
    for row in range(-math.ceil(reach / streets.period), math.ceil(reach / streets.period) + 1):
        for _ in range(rng.poisson(reach / 25)):
            lane = rng.choice((-0.27, 0.27)) * streets.width
            places.append(streets.place(rng.uniform(-reach, reach), row * streets.period + lane))
    n = len(places)
    x, y, angle = np.array(places).reshape(n, 3).T
    return Cars(x, y, angle, rng.uniform(4.2, 6.0, n), rng.integers(CAR_PAINTS, size=n))


def wear(rng: np.random.Generator, patches: tuple[Patch, ...]) -> tuple[Patch, ...]:
    """Let some green patches be dug up, grow over or dry out."""
    natural = (Cover.LAWN, Cover.MEADOW, Cover.SOIL)
    worn = []
    for patch in patches:
        if patch.cover in natural and rng.random() < 0.12:
            patch = patch._replace(cover=natural[rng.integers(3)])
        worn.append(patch._replace(tone=patch.tone * rng.uniform(0.93, 1.07)))
    return tuple(worn)


def fell(trees: Trees, site: Site, mask: np.ndarray) -> Trees:
    """Remove the trees on streets and in buildings; a few of the others overhang a roof."""
    x, y, side = trees.x, trees.y, len(mask)
    free = site.streets.clearance(x, y) > 0.2 * trees.radius
    for dx, dy in ((0.0, 0.0), (0.7, 0.0), (-0.7, 0.0), (0.0, 0.7), (0.0, -0.7)):
        column, row = (
            np.floor(c * site.detail).astype(int)
            for c in (x + dx * trees.radius, y + dy * trees.radius)
        )
        within = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        column, row = column.clip(0, side - 1), row.clip(0, side - 1)
        free &= ~(within & mask[row, column])
    return trees.keep(free)


def clear(
    rng: np.random.Generator, buildings: tuple[Building, ...], standing: tuple[Building, ...]
) -> tuple[Patch, ...]:
    """Lay soil or green where a building stands no more or not yet."""
    places = {(building.x, building.y) for building in standing}
    patches = []
    for building in buildings:
        if (building.x, building.y) in places:
            continue
        a = max(abs(part.u) + part.a for part in building.parts) + rng.uniform(0.5, 2.0)
        b = max(abs(part.v) + part.b for part in building.parts) + rng.uniform(0.5, 2.0)
        cover = (Cover.SOIL, Cover.LAWN, Cover.MEADOW)[rng.choice(3, p=(0.4, 0.35, 0.25))]
        tone = rng.uniform(0.9, 1.1)
        patches.append(Patch(building.x, building.y, building.angle, a, b, cover, tone))
    return tuple(patches)
