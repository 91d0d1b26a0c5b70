"""Draws the buildings of cities at random: flat and pitched roofs from huts to halls."""

import math

import numpy as np

from data_prep.drawing.buildings import GLASS, UNITS, pick
from data_prep.drawing.canvas import Material, linear
from data_prep.drawing.roofs import Building, Fixture, Part

# Roof coverings in grey levels: many are as grey as the ground around them.
_FLAT = [(172, 170, 166), (132, 126, 116), (64, 64, 68), (224, 224, 220), (192, 174, 148)]
_FLAT += [(150, 146, 140), (104, 102, 100), (206, 200, 188), (168, 150, 124), (88, 84, 82)]
_PITCHED = [(112, 98, 88), (92, 88, 88), (140, 116, 98), (74, 72, 76), (152, 148, 146)]
_PITCHED += [(160, 92, 70), (128, 82, 68), (178, 160, 138), (120, 124, 130)]
_SHEETS = [(170, 174, 178), (140, 98, 76), (198, 196, 190), (112, 84, 72), (206, 206, 208)]
_SHEETS += [(154, 138, 118), (92, 122, 166), (122, 122, 124)]
COVERINGS = {"flat": _FLAT, "gable": _PITCHED, "hip": _PITCHED, "shed": _SHEETS}


def draw_covering(rng: np.random.Generator, roof: str) -> Material:
    """Draw the covering of a roof: a colour of its kind, stains and grain."""
    red, green, blue = pick(rng, COVERINGS[roof])
    bright, warm = rng.uniform(0.78, 1.12), rng.uniform(0.95, 1.05)
    albedo = linear(red * bright * warm, green * bright, blue * bright / warm)
    stains = rng.uniform(0.01, 0.14)
    drift = (stains * albedo[0], stains * albedo[1], stains * albedo[2])
    return Material(albedo, drift, rng.uniform(0.02, 0.09))


def vary(rng: np.random.Generator, covering: Material, spread: float) -> Material:
    """Return a covering that is brighter or darker: a neighbour's of the same make."""
    tone = math.exp(rng.normal(0.0, spread))
    red, green, blue = (a * tone for a in covering.albedo)
    return covering._replace(albedo=(red, green, blue))


def draw_building(
    rng: np.random.Generator,
    place: tuple[float, float, float],
    parts: tuple[Part, ...],
    roof: str,
    eave: float,
    covering: Material,
) -> Building:
    """Draw a building of some parts.

    Args:
        rng: random generator of what is on the roof.
        place: x, y and angle; lengths in pixels.
        parts: the rectangles of its footprint.
        roof: flat, gable, hip or shed.
        eave: height of the walls, in pixels.
        covering: what the roof is of.

    Returns:
        The building; a large flat roof carries units and skylights.
    """
    pitch = {"flat": 0.0, "shed": rng.uniform(0.05, 0.25)}.get(roof, rng.uniform(0.25, 0.8))
    seam = rng.uniform(1.6, 4.0) if rng.random() < (0.15 if roof == "flat" else 0.5) else 0.0
    fixtures = tuple(_fixtures(rng, parts)) if roof == "flat" else ()
    return Building(*place, parts, roof, eave, pitch, covering, seam, fixtures)


def _fixtures(rng: np.random.Generator, parts: tuple[Part, ...]) -> list[Fixture]:
    crowded = rng.uniform(0.0, 0.012)  # Fixtures a square pixel.
    fixtures = []
    for part in parts:
        for _ in range(min(rng.poisson(4 * part.a * part.b * crowded), 24)):
            u = part.u + rng.uniform(-0.8, 0.8) * part.a
            v = part.v + rng.uniform(-0.8, 0.8) * part.b
            most = 0.25 * min(part.a, part.b)
            box = Part(u, v, rng.uniform(0.4, 0.6 + most), rng.uniform(0.4, 0.6 + most))
            glass = rng.random() < 0.25
            rise = 0.3 if glass else rng.uniform(0.5, 3.0)
            fixtures.append(Fixture(box, rise, linear(*(GLASS if glass else pick(rng, UNITS)))))
    return fixtures
