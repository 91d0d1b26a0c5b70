"""Draws the buildings of lots at random: houses, terraces, halls and tanks."""

import math

import numpy as np

from data_prep.drawing.canvas import Material, linear
from data_prep.drawing.roofs import Building, Fixture, Part

# Roof coverings as they look in an aerial image, in grey levels of sRGB-like bands.
_TILES = [(180, 102, 80), (154, 84, 70), (172, 108, 92), (104, 102, 112), (80, 80, 92)]
_TILES += [(168, 162, 158), (202, 190, 168), (212, 212, 210), (128, 92, 84), (66, 66, 74)]
_TILES += [(98, 114, 140), (98, 122, 110)]
_SHEETS = [(232, 232, 228), (214, 214, 212), (222, 212, 194), (204, 206, 212), (84, 84, 94)]
_SHEETS += [(104, 130, 166), (176, 96, 80), (108, 138, 124), (150, 84, 72)]
UNITS = [(210, 210, 210), (150, 150, 155), (90, 90, 95)]
GLASS = (48, 58, 86)  # Skylights and solar panels.

_NO_DRIFT = (0.0, 0.0, 0.0)


def pick(rng: np.random.Generator, items: list) -> tuple[int, int, int]:
    """Return one of some colours."""
    return items[rng.integers(len(items))]


def _covering(rng: np.random.Generator, colours: list[tuple[int, int, int]]) -> Material:
    red, green, blue = pick(rng, colours)
    bright = rng.uniform(0.88, 1.10)
    warm = rng.uniform(0.96, 1.04)
    albedo = linear(red * bright * warm, green * bright, blue * bright / warm)
    weathering = rng.uniform(0.01, 0.04)
    drift = (weathering * albedo[0], weathering * albedo[1], weathering * albedo[2])
    return Material(albedo, drift, rng.uniform(0.02, 0.045))


def _with_wings(
    rng: np.random.Generator, width: float, depth: float, least: float
) -> tuple[Part, ...]:
    """Draw a plan of a core with up to two wings: I, L, T, U and their mirror images.

    Args:
        rng: random generator of the plan.
        width: width of the ground that it may cover, in pixels.
        depth: depth of the ground that it may cover, in pixels.
        least: least depth of the core and least reach of a wing, in pixels.
    """
    rectangle = (Part(0.0, 0.0, width / 2, depth / 2),)
    if depth < 2 * least or width < 2.2 * least or rng.random() < 0.45:
        return rectangle
    core = rng.uniform(least, depth - least)
    reach = depth - core
    wing = rng.uniform(0.5 * least, min(0.32 * width, 0.75 * core))
    side = 1.0 if rng.random() < 0.5 else -1.0
    v_core = -side * reach / 2
    # A wing starts at the middle of the core, so that its ridge meets the core's ridge.
    wing_half, v_wing = (reach + core / 2) / 2, v_core + side * (reach + core / 2) / 2
    parts = [Part(0.0, v_core, width / 2, core / 2)]
    plan = rng.random()
    if plan < 0.55:  # L
        end = 1.0 if rng.random() < 0.5 else -1.0
        parts.append(Part(end * (width / 2 - wing), v_wing, wing, wing_half))
    elif plan < 0.8 or width < 4.5 * wing:  # T
        offset = rng.uniform(-0.3, 0.3) * (width / 2 - wing)
        parts.append(Part(offset, v_wing, wing, wing_half))
    else:  # U
        for end in (-1.0, 1.0):
            parts.append(Part(end * (width / 2 - wing), v_wing, wing, wing_half))
    return tuple(parts)


def _chimney(rng: np.random.Generator, core: Part) -> Fixture:
    u = core.u + rng.uniform(-0.6, 0.6) * core.a
    return Fixture(Part(u, core.v, 0.7, 0.7), 1.5, linear(*pick(rng, UNITS)))


def _panels(rng: np.random.Generator, core: Part) -> Fixture:
    u, v = core.u + rng.uniform(-0.4, 0.4) * core.a, core.v + rng.choice((-0.5, 0.5)) * core.b
    part = Part(float(u), float(v), 0.4 * core.a, 0.3 * core.b)
    return Fixture(part, 0.2, linear(*GLASS))


def draw_house(
    rng: np.random.Generator, x: float, y: float, angle: float, width: float, depth: float
) -> Building:
    """Draw a house of one to three storeys within `width` x `depth` pixels about (x, y)."""
    parts = _with_wings(rng, width, depth, least=6.0)
    roof = ("gable", "hip", "flat", "shed")[rng.choice(4, p=(0.42, 0.32, 0.18, 0.08))]
    if roof == "shed":
        parts = parts[:1]
    fixtures = []
    if roof in ("gable", "hip") and rng.random() < 0.5:
        fixtures.append(_chimney(rng, parts[0]))
    if rng.random() < 0.15:
        fixtures.append(_panels(rng, parts[0]))
    return Building(
        x,
        y,
        angle,
        parts,
        roof,
        eave=rng.uniform(3.5, 6.5),
        pitch={"flat": 0.0, "shed": rng.uniform(0.12, 0.3)}.get(roof, rng.uniform(0.4, 0.9)),
        material=_covering(rng, _TILES),
        seam=rng.uniform(1.6, 2.6) if rng.random() < 0.5 else 0.0,
        fixtures=tuple(fixtures),
    )


def draw_hall(
    rng: np.random.Generator, x: float, y: float, angle: float, width: float, depth: float
) -> Building:
    """Draw a hall, school or block of flats within `width` x `depth` pixels about (x, y)."""
    parts = _with_wings(rng, width, depth, least=9.0)
    flat = rng.random() < 0.65
    core = parts[0]
    fixtures = []
    for _ in range(rng.integers(2, 7) if flat else 0):
        u, v = rng.uniform(-0.8, 0.8) * core.a, rng.uniform(-0.75, 0.75) * core.b
        box = Part(core.u + u, core.v + v, rng.uniform(0.7, 2.0), rng.uniform(0.7, 1.6))
        glass = rng.random() < 0.25
        colour = GLASS if glass else pick(rng, UNITS)
        fixtures.append(Fixture(box, 0.3 if glass else rng.uniform(0.8, 2.0), linear(*colour)))
    return Building(
        x,
        y,
        angle,
        parts,
        "flat" if flat else "gable",
        eave=rng.uniform(5.0, 10.0),
        pitch=0.0 if flat else rng.uniform(0.12, 0.35),
        material=_covering(rng, _SHEETS),
        seam=rng.uniform(2.5, 5.0) if rng.random() < 0.75 else 0.0,
        fixtures=tuple(fixtures),
    )


def draw_tank(rng: np.random.Generator, x: float, y: float, radius: float) -> Building:
    """Draw a tank, silo or round house of `radius` pixels about (x, y)."""
    cone = rng.random() < 0.6
    hatch = Fixture(Part(0.4 * radius, 0.0, 0.8, 0.8), 0.8, linear(*UNITS[1]))
    return Building(
        x,
        y,
        rng.uniform(0, math.tau),
        (Part(0.0, 0.0, radius, radius, True),),
        "cone" if cone else "flat",
        eave=rng.uniform(4.0, 8.0),
        pitch=rng.uniform(0.25, 0.6) if cone else 0.0,
        material=_covering(rng, _SHEETS if cone else _SHEETS[:5]),
        seam=0.0,
        fixtures=() if cone else (hatch,),
    )


def rebuild(rng: np.random.Generator, building: Building) -> Building:
    """Replace a building by a smaller one, with a roof of another colour."""
    parts = building.parts
    width = max(abs(p.u) + p.a for p in parts) * 2 * rng.uniform(0.75, 0.95)
    depth = max(abs(p.v) + p.b for p in parts) * 2 * rng.uniform(0.75, 0.95)
    draw = draw_house if width < 22 and rng.random() < 0.8 else draw_hall
    while True:
        other = draw(rng, building.x, building.y, building.angle, width, depth)
        roofs = zip(building.material.albedo, other.material.albedo, strict=True)
        if max(abs(a - b) for a, b in roofs) > 0.15:
            return other
