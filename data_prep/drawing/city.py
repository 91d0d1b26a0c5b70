"""Cities: blocks built on all sides, rows of narrow houses, slabs, halls, huts, compounds."""

import math

import numpy as np

from data_prep.drawing.canvas import Material
from data_prep.drawing.city_buildings import draw_building, draw_covering, vary
from data_prep.drawing.ground import Cover, Streets
from data_prep.drawing.light import ANY
from data_prep.drawing.plan import Plan, Site, lay_out
from data_prep.drawing.roofs import Part
from data_prep.drawing.suburb import field, park, parking

_YARDS = (Cover.PAVED, Cover.SOIL, Cover.ASPHALT, Cover.LAWN, Cover.MEADOW)


def _put(
    plan: Plan,
    box: tuple[float, float, float, float],
    roof: str,
    eave: float,
    covering: Material,
    turn: float = 0.0,
) -> None:
    """Put a building of one rectangle (u, v and half-sides a, b of the street frame) on a plan."""
    u, v, a, b = box
    if a < 1 or b < 1 or plan.outside(u, v, math.hypot(a, b)):
        return
    x, y, angle = plan.streets.place(u, v)
    parts = (Part(0.0, 0.0, a, b),)
    plan.buildings.append(
        draw_building(plan.rng, (x, y, angle + turn), parts, roof, eave, covering)
    )


def _ground(plan: Plan, u0: float, u1: float, v0: float, v1: float, shares: tuple) -> None:
    cover = _YARDS[plan.rng.choice(len(_YARDS), p=shares)]
    plan.patch((u0 + u1) / 2, (v0 + v1) / 2, (u1 - u0) / 2, (v1 - v0) / 2, cover)


def perimeter(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Build a block on all sides, house against house, around yards with wings and sheds."""
    rng = plan.rng
    _ground(plan, u0, u1, v0, v1, (0.45, 0.15, 0.15, 0.2, 0.05))
    deep = min(rng.uniform(9.0, 16.0), 0.42 * (v1 - v0))
    flat, eave, gap = rng.random(), rng.uniform(6.0, 15.0), 1.5 * (rng.random() < 0.3)
    for v_edge, inward in ((v0, 1.0), (v1, -1.0)):
        u = u0
        while u + 6 < u1:
            wide = min(rng.uniform(8.0, 26.0), u1 - u)
            middle, u = u + wide / 2, u + wide
            if rng.random() < 0.1:
                continue
            roof = "flat" if rng.random() < flat else "gable"
            depth = deep * rng.uniform(0.85, 1.15)
            high = eave * rng.uniform(0.7, 1.35)
            box = (middle, v_edge + inward * depth / 2, (wide - gap) / 2, depth / 2)
            covering = draw_covering(rng, roof)
            _put(plan, box, roof, high, covering)
            if rng.random() < 0.5:  # A wing or a shed behind.
                reach = rng.uniform(0.2, 0.9) * max((v1 - v0) / 2 - depth, 0.0)
                v_wing = v_edge + inward * (depth + reach / 2)
                side = middle + rng.uniform(-0.25, 0.25) * wide
                lower = "flat" if rng.random() < 0.7 else "shed"
                wing = (side, v_wing, rng.uniform(0.15, 0.4) * wide, reach / 2)
                _put(plan, wing, lower, high * rng.uniform(0.3, 1.0), draw_covering(rng, lower))
    for u_edge, inward in ((u0, 1.0), (u1, -1.0)):
        v = v0 + 1.15 * deep
        while v + 6 < v1 - 1.15 * deep:
            wide = min(rng.uniform(8.0, 22.0), v1 - 1.15 * deep - v)
            middle, v = v + wide / 2, v + wide
            if rng.random() < 0.2:
                continue
            roof = "flat" if rng.random() < flat else "gable"
            box = (u_edge + inward * deep / 2, middle, deep / 2, (wide - gap) / 2)
            _put(plan, box, roof, eave * rng.uniform(0.7, 1.35), draw_covering(rng, roof))
    if rng.random() < 0.4:
        x, y, _ = plan.streets.place((u0 + u1) / 2, (v0 + v1) / 2)
        plan.groves.append((x, y, 0.3 * min(u1 - u0, v1 - v0)))


def rows(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Fill a block with narrow, like houses, sheds or garages behind them, and an alley."""
    rng, depth = plan.rng, (v1 - v0) / 2
    _ground(plan, u0, u1, v0, v1, (0.15, 0.15, 0.0, 0.45, 0.25))
    alley = rng.uniform(1.2, 2.2)
    cover = Cover.PAVED if rng.random() < 0.5 else Cover.ASPHALT
    plan.patch((u0 + u1) / 2, (v0 + v1) / 2, (u1 - u0) / 2, alley, cover)
    roof = ("gable", "hip", "flat")[rng.choice(3, p=(0.5, 0.2, 0.3))]
    lot, gap = rng.uniform(8.0, 13.0), rng.uniform(0.6, 3.5)
    long, setback = rng.uniform(0.4, 0.62) * depth, rng.uniform(1.0, 6.0)
    makes = [draw_covering(rng, roof) for _ in range(rng.integers(1, 4))]
    garages, apart = rng.random(), rng.random()
    for v_edge, inward in ((v0, 1.0), (v1, -1.0)):
        u = u0
        while u + lot < u1:
            middle, u = u + lot / 2, u + lot
            if rng.random() < 0.06:
                continue
            half = long / 2 * rng.uniform(0.9, 1.1)
            box = (middle, v_edge + inward * (setback + half), (lot - gap) / 2, half)
            eave = rng.uniform(3.5, 8.0)
            covering = vary(rng, makes[rng.integers(len(makes))], 0.15)
            _put(plan, box, roof, eave, covering)
            if rng.random() < garages:
                side = rng.uniform(2.0, 3.6)
                v = v_edge + inward * (depth - alley - side - 0.5)
                shift = (lot / 2 - side - 0.3) * (1.0 if apart < 0.5 else -1.0)
                low = "flat" if rng.random() < 0.5 else "gable"
                box = (middle + shift, v, side, side * rng.uniform(0.8, 1.2))
                _put(plan, box, low, rng.uniform(2.5, 4.0), draw_covering(rng, low))


def slabs(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Set high blocks of flats side by side on greens or yards."""
    rng = plan.rng
    _ground(plan, u0, u1, v0, v1, (0.25, 0.1, 0.15, 0.4, 0.1))
    thick, eave = rng.uniform(9.0, 17.0), rng.uniform(8.0, 26.0)
    covering = draw_covering(rng, "flat")
    v = v0 + 2 + thick / 2
    while v + thick / 2 < v1:
        u = u0 + rng.uniform(1.0, 8.0)
        while u + 16 < u1:
            wide = min(rng.uniform(18.0, 60.0), u1 - u)
            box = (u + wide / 2, v, wide / 2 - 1, thick / 2)
            _put(plan, box, "flat", eave * rng.uniform(0.9, 1.1), vary(rng, covering, 0.1))
            u += wide + rng.uniform(4.0, 16.0)
        space = rng.uniform(8.0, 24.0)
        if rng.random() < 0.5:
            plan.row_of_bays((u0 + u1) / 2, v + thick / 2 + space / 2, (u1 - u0) / 3)
        v += thick + space
    x, y, _ = plan.streets.place(rng.uniform(u0, u1), rng.uniform(v0, v1))
    plan.groves.append((x, y, rng.uniform(6.0, 18.0)))


def hall(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Fill most of a block with one large hall; park cars beside it."""
    rng = plan.rng
    _ground(plan, u0, u1, v0, v1, (0.4, 0.15, 0.4, 0.05, 0.0))
    a, b = rng.uniform(0.25, 0.48) * (u1 - u0), rng.uniform(0.25, 0.46) * (v1 - v0)
    u = rng.uniform(u0 + a, u1 - a)
    v = v0 + b if rng.random() < 0.5 else v1 - b
    roof = "flat" if rng.random() < 0.75 else "gable"
    eave, covering = rng.uniform(5.0, 12.0), draw_covering(rng, roof)
    _put(plan, (u, v, a, b), roof, eave, covering)
    if rng.random() < 0.5:
        box = (u + rng.choice((-0.4, 0.4)) * a, v, 0.5 * a, 0.6 * b)
        _put(plan, box, roof, eave * rng.uniform(1.0, 1.5), vary(rng, covering, 0.2))
    v_bays = v + (b + 5) * (1.0 if v < (v0 + v1) / 2 else -1.0)
    while v0 + 3 < v_bays < v1 - 3:
        plan.row_of_bays((u0 + u1) / 2, v_bays, 0.45 * (u1 - u0))
        v_bays += 9 * (1.0 if v < (v0 + v1) / 2 else -1.0)


def huts(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Pack a block with small houses that touch, at odd angles."""
    rng = plan.rng
    _ground(plan, u0, u1, v0, v1, (0.25, 0.55, 0.0, 0.1, 0.1))
    cell, crooked = rng.uniform(6.5, 13.0), rng.uniform(0.0, 0.25)
    empty, flat = rng.uniform(0.05, 0.4), rng.random()
    for i in range(int((u1 - u0) / cell)):
        for j in range(int((v1 - v0) / cell)):
            if rng.random() < empty:
                continue
            u = u0 + (i + 0.5 + rng.normal(0.0, 0.1)) * cell
            v = v0 + (j + 0.5 + rng.normal(0.0, 0.1)) * cell
            roof = "flat" if rng.random() < flat else ("shed", "gable")[rng.integers(2)]
            a, b = rng.uniform(0.28, 0.55, 2) * cell
            if not (u0 < u - a < u + a < u1 and v0 < v - b < v + b < v1):
                continue
            covering = draw_covering(rng, "shed" if rng.random() < 0.6 else roof)
            turn = rng.normal(0.0, crooked)
            _put(plan, (u, v, float(a), float(b)), roof, rng.uniform(2.5, 7.0), covering, turn)


def compounds(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Divide a block into walled yards of soil with low rooms along the walls."""
    rng, depth = plan.rng, (v1 - v0) / 2
    _ground(plan, u0, u1, v0, v1, (0.1, 0.85, 0.0, 0.0, 0.05))
    make = draw_covering(rng, "flat")
    for row in (0, 1):
        u, v = u0, v0 + row * depth
        while u + 14 < u1:
            wide = min(rng.uniform(16.0, 32.0), u1 - u)
            left, u = u, u + wide
            for middle, a in ((left, 0.35), (u, 0.35)):
                plan.patch(middle, v + depth / 2, a, depth / 2, Cover.PAVED)
            plan.patch(left + wide / 2, v, wide / 2, 0.35, Cover.PAVED)
            for _ in range(rng.integers(0, 5)):
                a, b = rng.uniform(2.0, 6.5), rng.uniform(1.8, 4.0)
                if rng.random() < 0.5:
                    a, b = b, a
                if 2 * a > wide or 2 * b > depth:
                    continue
                at_u = rng.choice((left + a, left + wide - a))
                at_v = rng.uniform(v + b, v + depth - b)
                roof = "flat" if rng.random() < 0.8 else "shed"
                covering = vary(rng, make, 0.2) if roof == "flat" else draw_covering(rng, roof)
                box = (float(at_u), at_v, a, b)
                _put(plan, box, roof, rng.uniform(3.0, 7.0), covering)


def wood(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Cover a block with trees."""
    _ground(plan, u0, u1, v0, v1, (0.0, 0.1, 0.0, 0.4, 0.5))
    for _ in range(plan.rng.integers(3, 9)):
        x, y, _ = plan.streets.place(plan.rng.uniform(u0, u1), plan.rng.uniform(v0, v1))
        plan.groves.append((x, y, plan.rng.uniform(10.0, 30.0)))


def bare(plan: Plan, u0: float, u1: float, v0: float, v1: float) -> None:
    """Leave a block empty: bright or dark ground, cars here and there, or water."""
    rng = plan.rng
    if rng.random() < 0.2:
        middle = (u0 + u1) / 2, (v0 + v1) / 2
        plan.patch(*middle, (u1 - u0) / 2, (v1 - v0) / 2, Cover.WATER)
        return
    _ground(plan, u0, u1, v0, v1, (0.35, 0.35, 0.15, 0.0, 0.15))
    for _ in range(rng.integers(0, 12)):
        a, b = rng.uniform(2.0, 14.0), rng.uniform(1.0, 9.0)
        cover = _YARDS[rng.integers(3)]
        plan.patch(rng.uniform(u0, u1), rng.uniform(v0, v1), a, b, cover)
    for _ in range(rng.integers(0, 20)):
        x, y, angle = plan.streets.place(rng.uniform(u0, u1), rng.uniform(v0, v1))
        plan.bays.append((x, y, angle + rng.choice((0.0, math.pi / 2))))


_USES = (perimeter, rows, slabs, hall, huts, compounds, wood, bare, parking, park, field)
# Frequency of each of these in an old town, a town of narrow lots, an estate of slabs, an
# industrial area, a shanty town, a town of compounds, at the edge of a town.
_KINDS = (
    (0.72, 0.04, 0.04, 0.04, 0.02, 0.00, 0.02, 0.04, 0.02, 0.06, 0.00),
    (0.05, 0.73, 0.03, 0.04, 0.00, 0.00, 0.02, 0.04, 0.02, 0.07, 0.00),
    (0.08, 0.08, 0.60, 0.06, 0.00, 0.00, 0.02, 0.04, 0.04, 0.08, 0.00),
    (0.05, 0.02, 0.05, 0.58, 0.00, 0.00, 0.04, 0.14, 0.08, 0.02, 0.02),
    (0.08, 0.00, 0.02, 0.06, 0.68, 0.04, 0.02, 0.06, 0.00, 0.04, 0.00),
    (0.06, 0.00, 0.02, 0.06, 0.06, 0.70, 0.00, 0.08, 0.00, 0.02, 0.00),
    (0.04, 0.16, 0.06, 0.10, 0.04, 0.02, 0.22, 0.18, 0.04, 0.04, 0.10),
)


def draw_city(rng: np.random.Generator, size: int) -> Site:
    """Draw a site for a tile of `size` pixels, with all the buildings that it may hold."""
    wide = rng.uniform(4.0, 14.0)
    streets = Streets(
        x=size * rng.uniform(0.3, 0.7),
        y=size * rng.uniform(0.3, 0.7),
        angle=rng.uniform(0, math.pi),
        bend=rng.uniform(-0.12, 0.12) / size if rng.random() < 0.5 else 0.0,
        period=rng.uniform(46.0, 100.0) + wide,
        width=wide,
        cross_period=rng.uniform(60.0, 150.0),
        cross_width=rng.uniform(0.5, 1.0) * wide,
        cover=(Cover.ASPHALT, Cover.PAVED, Cover.SOIL)[rng.choice(3, p=(0.65, 0.15, 0.2))],
        pavement=rng.uniform(0.8, 3.0) if rng.random() < 0.7 else 0.0,
        marked=bool(rng.random() < 0.4),
    )
    plan = Plan(rng, size, streets)
    site = lay_out(plan, _USES, _KINDS[rng.integers(len(_KINDS))])
    return site._replace(crowns=(1.5, rng.uniform(3.0, 10.0)), weather=ANY)
