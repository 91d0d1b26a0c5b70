"""Suburbs, trading estates and villages: lots with houses, halls on yards, fields and parks."""

import math

import numpy as np

from data_prep.drawing.buildings import draw_hall, draw_house, draw_tank
from data_prep.drawing.ground import Cover, draw_streets
from data_prep.drawing.plan import PAD, Plan, Site, lay_out

# Frequency of each of `USES` among the blocks of a suburb, a trading estate and a village.
_KINDS = (
    (0.72, 0.08, 0.06, 0.02, 0.07, 0.05),
    (0.16, 0.16, 0.44, 0.04, 0.06, 0.14),
    (0.52, 0.06, 0.12, 0.22, 0.06, 0.02),
)
_YARDS = (Cover.LAWN, Cover.MEADOW, Cover.SOIL, Cover.PAVED)
_CROPS = (Cover.CROP_A, Cover.CROP_B, Cover.CROP_C)


def houses(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Fill a block with two rows of lots, back to back, each with a house."""
    rng, depth = plan.rng, (v1 - v0) / 2
    for row, front in ((0.0, 1.0), (1.0, -1.0)):
        u, v = u0, v0 + (0.5 + row) * depth
        while u + 16 < u1:
            width = min(rng.uniform(17.0, 26.0), u1 - u)
            _house(plan, u + width / 2, v, width, depth, front)
            u += width


def _house(plan: Plan, u: float, v: float, width: float, depth: float, front: float) -> None:
    rng = plan.rng
    if plan.outside(u, v, 12):
        return
    cover = _YARDS[rng.choice(4, p=(0.52, 0.24, 0.20, 0.04))]
    plan.patch(u, v, width / 2 - 0.5, depth / 2 - 0.3, cover)
    if rng.random() < 0.17:
        return
    wide = min(width - rng.uniform(3.5, 6.5), 22.0)
    deep = min(depth - rng.uniform(4.0, 9.0), 19.0)
    setback = rng.uniform(0.3, 0.7) * (depth - deep)
    v_house = v + front * ((deep - depth) / 2 + setback)
    x, y, angle = plan.streets.place(u, v_house)
    turn = rng.normal(0.0, 0.03)
    if rng.random() < 0.06 and width > 16:
        plan.buildings.append(draw_tank(rng, x, y, min(wide, deep) / 2))
    else:
        half = math.pi if rng.random() < 0.5 else 0.0
        plan.buildings.append(draw_house(rng, x, y, angle + turn + half, wide, deep))
    side = rng.choice((-1.0, 1.0)) * 0.3 * wide
    if rng.random() < 0.7:  # A drive from the street to under the house's edge.
        v_drive = v - front * (depth - setback) / 2
        cover = Cover.PAVED if rng.random() < 0.7 else Cover.SOIL
        plan.patch(u + side, v_drive, 1.3, setback / 2 + PAD, cover)
        if rng.random() < 0.5:
            x, y, angle = plan.streets.place(u + side, v_drive)
            plan.bays.append((x, y, angle + math.pi / 2))
    back = depth - deep - setback
    if rng.random() < 0.12 and back > 5:
        v_pool = v + front * (depth - back) / 2
        plan.patch(u - side, v_pool, rng.uniform(1.5, 3.0), rng.uniform(1.2, 1.8), Cover.WATER)


def terraces(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Fill a block with two long rows of houses or flats and the yards between them."""
    rng, middle = plan.rng, (v0 + v1) / 2
    cover = _YARDS[rng.choice(4, p=(0.5, 0.2, 0.15, 0.15))]
    plan.patch((u0 + u1) / 2, middle, (u1 - u0) / 2, (v1 - v0) / 2, cover)
    for v_edge, front in ((v0, 1.0), (v1, -1.0)):
        u = u0 + rng.uniform(1.0, 5.0)
        while u + 22 < u1:
            width = min(rng.uniform(24.0, 52.0), u1 - u - 1)
            depth = rng.uniform(8.0, 11.0)
            v = v_edge + front * (depth / 2 + rng.uniform(1.0, 3.0))
            if not plan.outside(u + width / 2, v, 27):
                x, y, angle = plan.streets.place(u + width / 2, v)
                draw = draw_house if rng.random() < 0.6 else draw_hall
                plan.buildings.append(draw(rng, x, y, angle, width, depth))
            u += width + rng.uniform(4.0, 8.0)


def halls(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Fill a block with yards, each with a hall or tanks, and cars beside."""
    rng, depth, v = plan.rng, v1 - v0, (v0 + v1) / 2
    u = u0
    while u + 24 < u1:
        width = min(rng.uniform(28.0, 46.0), u1 - u)
        middle, u = u + width / 2, u + width
        if plan.outside(middle, v, 26):
            continue
        cover = (Cover.PAVED, Cover.ASPHALT, Cover.SOIL)[rng.choice(3, p=(0.36, 0.40, 0.24))]
        plan.patch(middle, v, width / 2 - 0.5, depth / 2, cover)
        if rng.random() < 0.15:
            _tanks(plan, middle, v, width, depth)
            continue
        wide = min(width - rng.uniform(5.0, 10.0), 36.0)
        deep = min(depth - rng.uniform(8.0, 18.0), 30.0)
        side = rng.choice((-1.0, 1.0))
        v_hall = v + side * ((depth - deep) / 2 - rng.uniform(1.5, 3.0))
        x, y, angle = plan.streets.place(middle, v_hall)
        half = math.pi if rng.random() < 0.5 else 0.0
        plan.buildings.append(draw_hall(rng, x, y, angle + half, wide, deep))
        if depth - deep > 11:
            plan.row_of_bays(middle, v - side * (depth / 2 - 4), wide / 2)


def _tanks(plan: Plan, u: float, v: float, width: float, depth: float) -> None:
    radius = plan.rng.uniform(4.0, min(8.0, width / 5))
    for du in (-width / 4, width / 4):
        for dv in (-depth / 4, depth / 4):
            if plan.rng.random() < 0.7:
                x, y, _ = plan.streets.place(u + du, v + dv)
                plan.buildings.append(draw_tank(plan.rng, x, y, radius))


def field(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Make a block a field, ploughed or green, sometimes in two strips."""
    rng, v = plan.rng, (v0 + v1) / 2
    cut = rng.uniform(0.3, 0.7) * (u1 - u0) + u0 if rng.random() < 0.5 else u1
    for left, right in ((u0, cut), (cut, u1)):
        if right - left < 4:
            continue
        cover = _CROPS[rng.integers(3)] if rng.random() < 0.85 else Cover.MEADOW
        stripe = rng.uniform(2.0, 5.0) if rng.random() < 0.7 else 0.0
        contrast = rng.uniform(0.04, 0.16)
        half = (right - left) / 2
        plan.patch(left + half, v, half, (v1 - v0) / 2, cover, stripe, contrast)


def park(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Lay out a green with a grove, and sometimes a court or pitch."""
    rng, u, v = plan.rng, (u0 + u1) / 2, (v0 + v1) / 2
    cover = Cover.LAWN if rng.random() < 0.6 else Cover.MEADOW
    plan.patch(u, v, (u1 - u0) / 2, (v1 - v0) / 2, cover)
    for _ in range(rng.integers(1, 4)):
        x, y, _ = plan.streets.place(rng.uniform(u0, u1), rng.uniform(v0 + 6, v1 - 6))
        plan.groves.append((x, y, rng.uniform(8.0, 20.0)))
    if rng.random() < 0.5:
        cover = (Cover.PAVED, Cover.SOIL, Cover.ASPHALT)[rng.integers(3)]
        plan.patch(rng.uniform(u0 + 10, u1 - 10), v, rng.uniform(5, 9), rng.uniform(4, 7), cover)


def parking(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Pave a block and mark rows of bays on it."""
    u, v, half = (u0 + u1) / 2, (v0 + v1) / 2, (u1 - u0) / 2
    cover = Cover.ASPHALT if plan.rng.random() < 0.7 else Cover.PAVED
    plan.patch(u, v, half, (v1 - v0) / 2, cover)
    v = v0 + 5
    while v < v1 - 4:
        plan.row_of_bays(u, v, half - 2)
        v += 10


_USES = (houses, terraces, halls, field, park, parking)


def draw_suburb(rng: np.random.Generator, size: int) -> Site:
    """Draw a site for a tile of `size` pixels, with all the buildings that it may hold."""
    plan = Plan(rng, size, draw_streets(rng, size))
    return lay_out(plan, _USES, _KINDS[rng.choice(3, p=(0.5, 0.25, 0.25))])
