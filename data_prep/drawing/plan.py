"""The plan of a site: streets, and blocks between them, each of one use."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data_prep.drawing.canvas import MARGIN
from data_prep.drawing.ground import Cover, Patch, Streets
from data_prep.drawing.light import FAIR, Weather
from data_prep.drawing.roofs import Building

PAD = 1.5  # Pixels between the street and a lot.


class Site(NamedTuple):
    """The content of a tile, apart from season, light and moving things."""

    size: int  # In pixels of the drawing, as all lengths.
    streets: Streets
    patches: tuple[Patch, ...]
    buildings: tuple[Building, ...]
    groves: tuple[tuple[float, float, float], ...]  # x, y and radius, in pixels.
    bays: tuple[tuple[float, float, float], ...]  # x, y and angle of a parked car.
    crowns: tuple[float, float] = (1.8, 5.2)  # Least and largest radius of trees, in pixels.
    weather: Weather = FAIR
    detail: int = 1  # Pixels of the picture a pixel of the drawing, along each axis.


class Plan:
    """A site while it is being drawn."""

    def __init__(self, rng: np.random.Generator, size: int, streets: Streets):
        self.rng, self.size, self.streets = rng, size, streets
        self.patches: list[Patch] = []
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

    def row_of_bays(self, u: float, v: float, half: float) -> None:
        """Mark bays for cars, `half` pixels to either side of (u, v)."""
        for k in range(int(2 * half / 3.2)):
            x, y, angle = self.streets.place(u - half + 1.6 + 3.2 * k, v)
            self.bays.append((x, y, angle + math.pi / 2))

    def finish(self) -> Site:
        """Return the site."""
        return Site(
            self.size,
            self.streets,
            tuple(self.patches),
            tuple(self.buildings),
            tuple(self.groves),
            tuple(self.bays),
        )


Use = Callable[[Plan, float, float, float, float], None]  # Fills a block from u0 to u1, v0 to v1.


def lay_out(plan: Plan, uses: Sequence[Use], shares: Sequence[float]) -> Site:
    """Give each block between the streets one of some uses.

    Args:
        plan: a plan with nothing but streets.
        uses: what a block may be.
        shares: how frequent each is; they add up to 1.

    Returns:
        The site, with all the buildings that it may hold.
    """
    streets = plan.streets
    reach = 0.75 * plan.size + MARGIN + 30  # Far enough for nearly all corners.
    rows = range(-math.ceil(reach / streets.period), math.ceil(reach / streets.period))
    columns = range(
        -math.ceil(reach / streets.cross_period), math.ceil(reach / streets.cross_period)
    )
    for row in rows:
        for column in columns:
            use = uses[plan.rng.choice(len(uses), p=shares)]
            v0 = row * streets.period + streets.width / 2 + PAD
            v1 = (row + 1) * streets.period - streets.width / 2 - PAD
            u0 = column * streets.cross_period + streets.cross_width / 2 + PAD
            u1 = (column + 1) * streets.cross_period - streets.cross_width / 2 - PAD
            half = math.hypot(u1 - u0, v1 - v0) / 2
            if not plan.outside((u0 + u1) / 2, (v0 + v1) / 2, half):
                use(plan, u0, u1, v0, v1)
    return plan.finish()
