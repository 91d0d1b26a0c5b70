"""The flat ground: kinds of cover, their colours by season, patches and streets."""

import enum
import math
from typing import NamedTuple

import numpy as np

from data_prep.drawing.canvas import MARGIN, Canvas, Material, linear


class Cover(enum.IntEnum):
    """Kinds of ground; the number is the material's number on every canvas."""

    LAWN = 0
    MEADOW = 1
    SOIL = 2
    PAVED = 3
    ASPHALT = 4
    CROP_A = 5
    CROP_B = 6
    CROP_C = 7
    WATER = 8


# Each cover from one extreme (lush, wet, new) to the other (dry, worn), in grey levels.
_RANGE = {
    Cover.LAWN: ((80, 112, 58), (160, 146, 104)),
    Cover.MEADOW: ((104, 122, 70), (174, 156, 112)),
    Cover.SOIL: ((124, 102, 74), (188, 162, 122)),
    Cover.PAVED: ((146, 144, 140), (184, 180, 170)),
    Cover.ASPHALT: ((88, 88, 92), (138, 138, 138)),
    Cover.WATER: ((60, 110, 130), (90, 160, 170)),
}
_CROPS = ((66, 108, 50), (96, 126, 62), (190, 168, 108), (124, 102, 78), (168, 152, 118))
_CROP_COVERS = (Cover.CROP_A, Cover.CROP_B, Cover.CROP_C)
_GRAIN = {Cover.LAWN: 0.13, Cover.MEADOW: 0.17, Cover.PAVED: 0.12, Cover.WATER: 0.04}
_DRIFT = {Cover.LAWN: 0.16, Cover.MEADOW: 0.22, Cover.WATER: 0.04, Cover.SOIL: 0.16}
# The covers on which bare and worn blobs spread.
_GROWS = np.array([c not in (Cover.PAVED, Cover.ASPHALT, Cover.WATER) for c in Cover])


def draw_palette(rng: np.random.Generator) -> list[Material]:
    """Draw the look of a site's covers in spring: a material for each `Cover`, in order."""
    return [_material(cover, rng.random()) for cover in Cover]


def season(
    rng: np.random.Generator, palette: list[Material], dryness: float, sown: float
) -> list[Material]:
    """Draw the look of a site's covers on one date.

    Args:
        rng: random generator of the crops and the weather.
        palette: the site's materials in spring; paved covers keep them.
        dryness: 0 is a wet spring, 1 the end of a dry summer.
        sown: share of crops that differ from the site's palette.

    Returns:
        A material for each `Cover`, in order.
    """
    dated = list(palette)
    for cover in (Cover.LAWN, Cover.MEADOW, Cover.SOIL):
        dated[cover] = _material(cover, dryness + rng.uniform(-0.15, 0.15))
    for cover in _CROP_COVERS:
        if rng.random() < sown:
            dated[cover] = _material(cover, rng.random())
    return dated


def _material(cover: Cover, share: float) -> Material:
    """Make the material at `share` (0 to 1, clipped) of a cover's range."""
    share = min(max(share, 0.0), 1.0)
    if cover in _CROP_COVERS:
        first = second = _CROPS[min(int(share * len(_CROPS)), len(_CROPS) - 1)]
    else:
        first, second = _RANGE[cover]
    red, green, blue = linear(*(a + share * (b - a) for a, b in zip(first, second, strict=True)))
    drift = _DRIFT.get(cover, 0.12)
    # Drift is redder than the cover: covers turn yellow as they brighten.
    drifts = (1.15 * drift * red, drift * green, 0.7 * drift * blue)
    return Material((red, green, blue), drifts, _GRAIN.get(cover, 0.10))


class Patch(NamedTuple):
    """A rectangle of one cover, or a blob if `ragged`; lengths in pixels."""

    x: float
    y: float
    angle: float
    a: float  # Half-sides.
    b: float
    cover: Cover
    tone: float = 1.0  # Brightness relative to the same cover elsewhere.
    stripe: float = 0.0  # Pixels from furrow to furrow or from bay to bay; 0 for no stripes.
    contrast: float = 0.0  # Contrast of the stripes.
    ragged: bool = False


def paint_patch(canvas: Canvas, patch: Patch, middle: np.ndarray) -> None:
    """Paint a patch; `middle` [samples, samples] is noise that frays ragged patches."""
    window = canvas.window(patch.x, patch.y, math.hypot(patch.a, patch.b))
    if window is None:
        return
    view = (window.rows, window.columns)
    u, v = window.local(patch.angle)
    if patch.ragged:
        u, v = u / patch.a, v / patch.b
        inside = u * u + v * v < 0.6 + 0.35 * middle[view]
        inside &= _GROWS[canvas.material[view]]
    else:
        inside = (abs(u) <= patch.a) & (abs(v) <= patch.b)
    tone: np.ndarray | float = patch.tone
    if patch.stripe:
        phase = (v + patch.b) / patch.stripe
        phase -= np.floor(phase)
        tone = patch.tone * (1 + patch.contrast * (4 * abs(phase - 0.5) - 1))
    np.copyto(canvas.material[view], patch.cover, where=inside)
    np.copyto(canvas.tone[view], tone, where=inside)


class Streets(NamedTuple):
    """A grid of streets, turned and slightly bent, which the lots follow; lengths in pixels.

    In the street frame (u, v) the streets run along u at every multiple of `period`, and the cross
    streets along v at every multiple of `cross_period`.
    """

    x: float
    y: float
    angle: float
    bend: float  # v_bent = v - bend * u ** 2.
    period: float
    width: float
    cross_period: float
    cross_width: float
    cover: Cover
    pavement: float  # Width of the pavement on either side.
    marked: bool

    def place(self, u: float, v: float) -> tuple[float, float, float]:
        """Return where (u, v) lies in the scene, and the direction of the street there."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        v = v + self.bend * u * u
        turn = math.atan(2 * self.bend * u)
        return self.x + u * c - v * s, self.y + u * s + v * c, self.angle + turn

    def locate(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the street coordinates u, v of points of the scene; arrays broadcast."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        x, y = x - self.x, y - self.y
        u = x * c + y * s
        return u, y * c - x * s - self.bend * u * u

    def clearance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the distance from the nearest street's edge, negative on the street."""
        u, v = self.locate(x, y)
        along = abs(_to_nearest(v, self.period)) - self.width / 2
        across = abs(_to_nearest(u, self.cross_period)) - self.cross_width / 2
        return np.minimum(along, across)


def draw_streets(rng: np.random.Generator, size: int) -> Streets:
    """Draw the street grid of a tile of `size` pixels."""
    return Streets(
        x=size * rng.uniform(0.3, 0.7),
        y=size * rng.uniform(0.3, 0.7),
        angle=rng.uniform(0, math.pi),
        bend=rng.uniform(-0.12, 0.12) / size if rng.random() < 0.6 else 0.0,
        period=rng.uniform(46.0, 60.0),
        width=rng.uniform(4.5, 7.5),
        cross_period=rng.uniform(60.0, 120.0),
        cross_width=rng.uniform(3.5, 6.0),
        cover=(Cover.ASPHALT, Cover.PAVED, Cover.SOIL)[rng.choice(3, p=(0.75, 0.1, 0.15))],
        pavement=rng.uniform(0.8, 1.6) if rng.random() < 0.6 else 0.0,
        marked=bool(rng.random() < 0.4),
    )


def _to_nearest(a: np.ndarray, period: float) -> np.ndarray:
    return a - period * np.floor(a / period + 0.5)


def paint_streets(canvas: Canvas, streets: Streets) -> None:
    """Paint the streets over the canvas."""
    centre = canvas.size / 2
    window = canvas.window(centre, centre, 2 * (centre + MARGIN))
    assert window is not None
    u, v = streets.locate(window.dx + centre, window.dy + centre)
    v, across = abs(_to_nearest(v, streets.period)), abs(_to_nearest(u, streets.cross_period))
    edge = np.minimum(v - streets.width / 2, across - streets.cross_width / 2)
    if streets.pavement and streets.cover == Cover.ASPHALT:
        side = edge < streets.pavement
        np.copyto(canvas.material, Cover.PAVED, where=side)
        np.copyto(canvas.tone, 1.0, where=side)
    road = edge < 0
    np.copyto(canvas.material, streets.cover, where=road)
    np.copyto(canvas.tone, 1.0, where=road)
    if streets.marked and streets.cover == Cover.ASPHALT:
        dash = u / 9.0
        line = (v < 0.3) & (dash - np.floor(dash) < 0.5) & (across > streets.cross_width / 2)
        np.copyto(canvas.tone, 2.2, where=line)
