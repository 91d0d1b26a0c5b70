"""Draws the plan of a site: streets, blocks of one use each, lots, buildings that may stand."""

import math
from typing import NamedTuple

import numpy as np

from data_prep.drawing.buildings import draw_hall, draw_house, draw_tank
from data_prep.drawing.canvas import MARGIN
from data_prep.drawing.clutter import CAR_PAINTS, SPECIES, Cars, Trees
from data_prep.drawing.ground import Cover, Patch, Streets, draw_streets
from data_prep.drawing.roofs import Building

# Frequency of each of `_USES` among the blocks of a suburb, a trading estate and a village.
_KINDS = (
    (0.72, 0.08, 0.06, 0.02, 0.07, 0.05),
    (0.16, 0.16, 0.44, 0.04, 0.06, 0.14),
    (0.52, 0.06, 0.12, 0.22, 0.06, 0.02),
)
_YARDS = (Cover.LAWN, Cover.MEADOW, Cover.SOIL, Cover.PAVED)
_CROPS = (Cover.CROP_A, Cover.CROP_B, Cover.CROP_C)
_PAD = 1.5  # Pixels between the street and a lot.


class Site(NamedTuple):
    """The content of a tile, apart from season, light and moving things."""

    size: int
    streets: Streets
    patches: tuple[Patch, ...]
    buildings: tuple[Building, ...]
    groves: tuple[tuple[float, float, float], ...]  # x, y and radius, in pixels.
    bays: tuple[tuple[float, float, float], ...]  # x, y and angle of a parked car.


class _Plan:
    """A site while it is being drawn."""

    def __init__(self, rng: np.random.Generator, size: int, streets: Streets):
        self.rng, self.size, self.streets = rng, size, streets
        self.patches: list[Patch] = []
        self.paths: list[Patch] = []
        self.buildings: list[Building] = []
        self.groves: list[tuple[float, float, float]] = []
        self.bays: list[tuple[float, float, float]] = []

    def outside(self, u: float, v: float, reach: float) -> bool:
        """Return whether a circle of `reach` pixels around (u, v) misses the canvas."""
        x, y, _ = self.streets.place(u, v)
        low, high = -MARGIN - reach, self.size + MARGIN + reach
        return not (low < x < high and low < y < high)

    def patch(
        self,
        u: float,
        v: float,
        a: float,
        b: float,
        cover: Cover,
        stripe: float = 0.0,
        contrast: float = 0.0,
    ) -> None:
        """Lay a patch at (u, v) of the street frame; see `Patch`."""
        x, y, angle = self.streets.place(u, v)
        tone = self.rng.uniform(0.88, 1.12)
        self.patches.append(Patch(x, y, angle, a, b, cover, tone, stripe, contrast))

    def houses(self, u0: float, u1: float, v0: float, v1: float) -> None:
        """Fill a block with two rows of lots, back to back, each with a house."""
        rng, depth = self.rng, (v1 - v0) / 2
        for row, front in ((0.0, 1.0), (1.0, -1.0)):
            u, v = u0, v0 + (0.5 + row) * depth
            while u + 16 < u1:
                width = min(rng.uniform(17.0, 26.0), u1 - u)
                self._house(u + width / 2, v, width, depth, front)
                u += width

    def _house(self, u: float, v: float, width: float, depth: float, front: float) -> None:
        rng = self.rng
        if self.outside(u, v, 12):
            return
        cover = _YARDS[rng.choice(4, p=(0.52, 0.24, 0.20, 0.04))]
        self.patch(u, v, width / 2 - 0.5, depth / 2 - 0.3, cover)
        if rng.random() < 0.17:
            return
        wide = min(width - rng.uniform(3.5, 6.5), 22.0)
        deep = min(depth - rng.uniform(4.0, 9.0), 19.0)
        setback = rng.uniform(0.3, 0.7) * (depth - deep)
        v_house = v + front * ((deep - depth) / 2 + setback)
        x, y, angle = self.streets.place(u, v_house)
        turn = rng.normal(0.0, 0.03)
        if rng.random() < 0.06 and width > 16:
            self.buildings.append(draw_tank(rng, x, y, min(wide, deep) / 2))
        else:
            half = math.pi if rng.random() < 0.5 else 0.0
            self.buildings.append(draw_house(rng, x, y, angle + turn + half, wide, deep))
        side = rng.choice((-1.0, 1.0)) * 0.3 * wide
        if rng.random() < 0.7:  # A drive from the street to under the house's edge.
            v_drive = v - front * (depth - setback) / 2
            cover = Cover.PAVED if rng.random() < 0.7 else Cover.SOIL
            self.patch(u + side, v_drive, 1.3, setback / 2 + _PAD, cover)
            if rng.random() < 0.5:
                x, y, angle = self.streets.place(u + side, v_drive)
                self.bays.append((x, y, angle + math.pi / 2))
        back = depth - deep - setback
        if rng.random() < 0.12 and back > 5:
            v_pool = v + front * (depth - back) / 2
            self.patch(u - side, v_pool, rng.uniform(1.5, 3.0), rng.uniform(1.2, 1.8), Cover.WATER)

    def terraces(self, u0: float, u1: float, v0: float, v1: float) -> None:
        """Fill a block with two long rows of houses or flats and the yards between them."""
        rng, middle = self.rng, (v0 + v1) / 2
        cover = _YARDS[rng.choice(4, p=(0.5, 0.2, 0.15, 0.15))]
        self.patch((u0 + u1) / 2, middle, (u1 - u0) / 2, (v1 - v0) / 2, cover)
        for v_edge, front in ((v0, 1.0), (v1, -1.0)):
            u = u0 + rng.uniform(1.0, 5.0)
            while u + 22 < u1:
                width = min(rng.uniform(24.0, 52.0), u1 - u - 1)
                depth = rng.uniform(8.0, 11.0)
                v = v_edge + front * (depth / 2 + rng.uniform(1.0, 3.0))
                if not self.outside(u + width / 2, v, 27):
                    x, y, angle = self.streets.place(u + width / 2, v)
                    draw = draw_house if rng.random() < 0.6 else draw_hall
                    self.buildings.append(draw(rng, x, y, angle, width, depth))
                u += width + rng.uniform(4.0, 8.0)

    def halls(self, u0: float, u1: float, v0: float, v1: float) -> None:
        """Fill a block with yards, each with a hall or tanks, and cars beside."""
        rng, depth, v = self.rng, v1 - v0, (v0 + v1) / 2
        u = u0
        while u + 24 < u1:
            width = min(rng.uniform(28.0, 46.0), u1 - u)
            middle, u = u + width / 2, u + width
            if self.outside(middle, v, 26):
                continue
            cover = (Cover.PAVED, Cover.ASPHALT, Cover.SOIL)[rng.choice(3, p=(0.36, 0.40, 0.24))]
            self.patch(middle, v, width / 2 - 0.5, depth / 2, cover)
            if rng.random() < 0.15:
                self._tanks(middle, v, width, depth)
                continue
            wide = min(width - rng.uniform(5.0, 10.0), 36.0)
            deep = min(depth - rng.uniform(8.0, 18.0), 30.0)
            side = rng.choice((-1.0, 1.0))
            v_hall = v + side * ((depth - deep) / 2 - rng.uniform(1.5, 3.0))
            x, y, angle = self.streets.place(middle, v_hall)
            half = math.pi if rng.random() < 0.5 else 0.0
            self.buildings.append(draw_hall(rng, x, y, angle + half, wide, deep))
            if depth - deep > 11:
                self._row_of_bays(middle, v - side * (depth / 2 - 4), wide / 2)

    def _tanks(self, u: float, v: float, width: float, depth: float) -> None:
        radius = self.rng.uniform(4.0, min(8.0, width / 5))
        for du in (-width / 4, width / 4):
            for dv in (-depth / 4, depth / 4):
                if self.rng.random() < 0.7:
                    x, y, _ = self.streets.place(u + du, v + dv)
                    self.buildings.append(draw_tank(self.rng, x, y, radius))

    def _row_of_bays(self, u: float, v: float, half: float) -> None:
        for k in range(int(2 * half / 3.2)):
            x, y, angle = self.streets.place(u - half + 1.6 + 3.2 * k, v)
            self.bays.append((x, y, angle + math.pi / 2))

    def field(self, u0: float, u1: float, v0: float, v1: float) -> None:
        """Make a block a field, ploughed or green, sometimes in two strips."""
        rng, v = self.rng, (v0 + v1) / 2
        cut = rng.uniform(0.3, 0.7) * (u1 - u0) + u0 if rng.random() < 0.5 else u1
        for left, right in ((u0, cut), (cut, u1)):
            if right - left < 4:
                continue
            cover = _CROPS[rng.integers(3)] if rng.random() < 0.85 else Cover.MEADOW
            stripe = rng.uniform(2.0, 5.0) if rng.random() < 0.7 else 0.0
            contrast = rng.uniform(0.04, 0.16)
            half = (right - left) / 2
            self.patch(left + half, v, half, (v1 - v0) / 2, cover, stripe, contrast)

    def park(self, u0: float, u1: float, v0: float, v1: float) -> None:
        """Lay out a green with a grove, and sometimes a court or pitch."""
        rng, u, v = self.rng, (u0 + u1) / 2, (v0 + v1) / 2
        cover = Cover.LAWN if rng.random() < 0.6 else Cover.MEADOW
        self.patch(u, v, (u1 - u0) / 2, (v1 - v0) / 2, cover)
        for _ in range(rng.integers(1, 4)):
            x, y, _ = self.streets.place(rng.uniform(u0, u1), rng.uniform(v0 + 6, v1 - 6))
            self.groves.append((x, y, rng.uniform(8.0, 20.0)))
        if rng.random() < 0.5:
            cover = (Cover.PAVED, Cover.SOIL, Cover.ASPHALT)[rng.integers(3)]
            self.patch(
                rng.uniform(u0 + 10, u1 - 10), v, rng.uniform(5, 9), rng.uniform(4, 7), cover
            )

    def parking(self, u0: float, u1: float, v0: float, v1: float) -> None:
        """Pave a block and mark rows of bays on it."""
        u, v, half = (u0 + u1) / 2, (v0 + v1) / 2, (u1 - u0) / 2
        cover = Cover.ASPHALT if self.rng.random() < 0.7 else Cover.PAVED
        self.patch(u, v, half, (v1 - v0) / 2, cover)
        v = v0 + 5
        while v < v1 - 4:
            self._row_of_bays(u, v, half - 2)
            v += 10


_USES = (_Plan.houses, _Plan.terraces, _Plan.halls, _Plan.field, _Plan.park, _Plan.parking)


def draw_site(rng: np.random.Generator, size: int) -> Site:
    """Draw a site for a tile of `size` pixels, with all the buildings that it may hold."""
    streets = draw_streets(rng, size)
    plan = _Plan(rng, size, streets)
    shares = _KINDS[rng.choice(3, p=(0.5, 0.25, 0.25))]
    reach = 0.75 * size + MARGIN + 30  # From the street frame's origin to any corner.
    rows = range(-math.ceil(reach / streets.period), math.ceil(reach / streets.period))
    columns = range(
        -math.ceil(reach / streets.cross_period), math.ceil(reach / streets.cross_period)
    )
    for row in rows:
        for column in columns:
            use = _USES[rng.choice(len(_USES), p=shares)]
            v0 = row * streets.period + streets.width / 2 + _PAD
            v1 = (row + 1) * streets.period - streets.width / 2 - _PAD
            u0 = column * streets.cross_period + streets.cross_width / 2 + _PAD
            u1 = (column + 1) * streets.cross_period - streets.cross_width / 2 - _PAD
            half = math.hypot(u1 - u0, v1 - v0) / 2
            if not plan.outside((u0 + u1) / 2, (v0 + v1) / 2, half):
                use(plan, u0, u1, v0, v1)
    return Site(
        size,
        streets,
        tuple(plan.patches),
        tuple(plan.buildings),
        tuple(plan.groves),
        tuple(plan.bays),
    )


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
    crown = rng.uniform(1.8, 5.2, n)
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
