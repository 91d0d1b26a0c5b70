"""Trees and cars, painted all at once."""

import math
from typing import NamedTuple

import numpy as np

from data_prep.drawing.canvas import Canvas, Material, linear

SPECIES = 4
# Colours of foliage from spring to drought, one row a species, and of bare twigs.
_FOLIAGE = (
    ((52, 82, 40), (70, 84, 46)),
    ((66, 98, 48), (104, 104, 58)),
    ((44, 66, 42), (50, 68, 44)),
    ((76, 104, 56), (142, 112, 60)),
)
_TWIGS = (104, 94, 82)
_EVERGREEN = 2
_PAINTS = (
    (232, 232, 232),
    (30, 30, 34),
    (150, 152, 156),
    (92, 94, 100),
    (160, 44, 40),
    (50, 74, 128),
)
CAR_PAINTS = len(_PAINTS)


class Trees(NamedTuple):
    """Trees; every field [n]."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray  # Radius of the crown, in pixels.
    height: np.ndarray  # In pixels.
    tone: np.ndarray  # Brightness relative to its species.
    species: np.ndarray  # 0 .. SPECIES - 1.

    def keep(self, chosen: np.ndarray) -> "Trees":
        """Return the trees that `chosen` [n], a mask or indices, picks."""
        return Trees(*(field[chosen] for field in self))


class Cars(NamedTuple):
    """Cars; every field [n]."""

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    length: np.ndarray
    paint: np.ndarray  # 0 .. CAR_PAINTS - 1.

    def keep(self, chosen: np.ndarray) -> "Cars":
        """Return the cars that `chosen` [n], a mask or indices, picks."""
        return Cars(*(field[chosen] for field in self))


def draw_foliage(rng: np.random.Generator, dryness: float) -> list[Material]:
    """Draw the colours of all species on one date; see `ground.draw_palette`."""
    foliage = []
    for spring, drought in _FOLIAGE:
        share = min(max(dryness + rng.uniform(-0.3, 0.3), 0.0), 1.0)
        levels = ((a + share * (b - a)) for a, b in zip(spring, drought, strict=True))
        albedo = linear(*levels)
        red, green, blue = (0.1 * a for a in albedo)
        foliage.append(Material(albedo, (red, green, blue), 0.30))
    return foliage


def paint_trees(
    canvas: Canvas, trees: Trees, foliage: list[Material], bare: bool, fine: np.ndarray
) -> None:
    """Paint trees; the highest crown, or a roof above it, is what shows.

    Args:
        canvas: the canvas to paint on.
        trees: the trees.
        foliage: a material for each species.
        bare: whether deciduous trees have shed their leaves.
        fine: [samples, samples] noise that frays the crowns.
    """
    first = len(canvas.materials)
    for number, material in enumerate(foliage):
        twigs = Material(linear(*_TWIGS), (0.0, 0.0, 0.0), 0.2)
        canvas.add_material(twigs if bare and number != _EVERGREEN else material)
    if not len(trees.x):
        return
    # Of repeated indices the last value stays, so low crowns come first.
    trees = trees.keep(np.argsort(trees.height, kind="stable"))
    reach = math.ceil((float(trees.radius.max()) * 1.2) * canvas.density)
    flat, dx, dy, valid = canvas.indices(trees.x, trees.y, reach)
    radius = trees.radius.astype(np.float32)[:, None, None]
    rag = fine.ravel()[flat]
    distance = (dx * dx + dy * dy) / (radius * radius)
    inside = valid & (distance < 0.85 + 0.30 * rag)
    if bare:
        leafy = (trees.species == _EVERGREEN)[:, None, None]
        inside &= leafy | (rag > 0.1)
    top = trees.height.astype(np.float32)[:, None, None] - 0.6 * radius * distance + 0.5 * rag
    inside &= top > canvas.height.ravel()[flat]
    target = flat[inside]
    canvas.height.ravel()[target] = top[inside]
    canvas.slope_x.ravel()[target] = ((-0.9 / radius) * dx + 0.45 * rag)[inside]
    canvas.slope_y.ravel()[target] = ((-0.9 / radius) * dy - 0.45 * rag)[inside]
    tree = np.nonzero(inside)[0]
    canvas.tone.ravel()[target] = trees.tone.astype(np.float32)[tree]
    canvas.material.ravel()[target] = (first + trees.species)[tree]


def paint_cars(canvas: Canvas, cars: Cars) -> None:
    """Paint cars: a body and a darker windscreen and rear window."""
    first = len(canvas.materials)
    for paint in _PAINTS:
        canvas.add_material(Material(linear(*paint), (0.0, 0.0, 0.0), 0.02))
    if not len(cars.x):
        return
    reach = math.ceil((float(cars.length.max()) / 2 + 1.2) * canvas.density)
    flat, dx, dy, valid = canvas.indices(cars.x, cars.y, reach)
    c = np.array([math.cos(a) for a in cars.angle], np.float32)[:, None, None]
    s = np.array([math.sin(a) for a in cars.angle], np.float32)[:, None, None]
    half = (cars.length / 2).astype(np.float32)[:, None, None]
    u, v = abs(dx * c + dy * s), abs(dy * c - dx * s)
    inside = valid & (u <= half) & (v <= 1.15)
    inside &= canvas.height.ravel()[flat] < 1
    target, car = flat[inside], np.nonzero(inside)[0]
    glass = (u > 0.35 * half) & (u < 0.65 * half)
    canvas.height.ravel()[target] = 1.9
    canvas.material.ravel()[target] = (first + cars.paint)[car]
    canvas.tone.ravel()[target] = np.where(glass, np.float32(0.35), np.float32(1))[inside]
