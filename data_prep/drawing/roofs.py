"""Buildings: footprints of rectangles and discs, and the roofs over them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from data_prep.drawing.canvas import Canvas, Material

_SEAM = np.float32(0.12)  # Contrast of seams and parapets.


class Part(NamedTuple):
    """A rectangle of half-sides a, b about (u, v), or a disc of radius a if `round`."""

    u: float
    v: float
    a: float
    b: float
    round: bool = False


class Fixture(NamedTuple):
    """A box on a roof: chimney, cooling unit, skylight, solar panels."""

    part: Part
    rise: float  # Above the roof, in pixels.
    albedo: tuple[float, float, float]


class Building(NamedTuple):
    """A building; lengths in pixels. `parts` and `fixtures` are in a frame turned by `angle`."""

    x: float
    y: float
    angle: float
    parts: tuple[Part, ...]
    roof: str  # A key of `ROOFS`.
    eave: float  # Height of the walls.
    pitch: float  # Slope of the roof planes.
    material: Material
    seam: float  # Pixels between the seams or tile rows of the covering; 0 for none.
    fixtures: tuple[Fixture, ...]

    @property
    def radius(self) -> float:
        """An upper limit of the corners' distance from (x, y)."""
        return max(math.hypot(abs(p.u) + p.a, abs(p.v) + p.b) for p in self.parts)


def mark_footprint(mask: np.ndarray, building: Building, detail: int = 1) -> None:
    """Set a mask where the centre of a pixel of the picture lies in a building's footprint.

    Args:
        mask: [S, S] bool, S the side of the picture.
        building: the building, in pixels of the drawing.
        detail: pixels of the picture a pixel of the drawing, along each axis.
    """
    size = len(mask)
    reach = building.radius + 1
    rows, columns = (
        slice(
            max(0, math.floor((c - reach) * detail)),
            max(0, min(size, math.ceil((c + reach) * detail))),
        )
        for c in (building.y, building.x)
    )
    dx = (np.arange(columns.start, max(columns.start, columns.stop))[None, :] + 0.5) / detail
    dy = (np.arange(rows.start, max(rows.start, rows.stop))[:, None] + 0.5) / detail
    dx, dy = dx - building.x, dy - building.y
    c, s = math.cos(building.angle), math.sin(building.angle)
    u, v = dx * c + dy * s, dy * c - dx * s
    for part in building.parts:
        mask[rows, columns] |= _edge_distance(u - part.u, v - part.v, part) >= 0


def _edge_distance(du: np.ndarray, dv: np.ndarray, part: Part) -> np.ndarray:
    if part.round:
        return part.a - np.sqrt(du * du + dv * dv)
    return np.minimum(part.a - abs(du), part.b - abs(dv))


# The rise above the eave, and its slopes along u and v, for pitch 1.
_Surface = tuple[np.ndarray, np.ndarray | float, np.ndarray | float]


def _flat(du: np.ndarray, dv: np.ndarray, part: Part) -> _Surface:
    return np.zeros(np.broadcast_shapes(du.shape, dv.shape), np.float32), 0.0, 0.0


def _gable(du: np.ndarray, dv: np.ndarray, part: Part) -> _Surface:
    if part.a >= part.b:
        return part.b - abs(dv), 0.0, -np.sign(dv)
    return part.a - abs(du), -np.sign(du), 0.0


def _hip(du: np.ndarray, dv: np.ndarray, part: Part) -> _Surface:
    to_u, to_v = part.a - abs(du), part.b - abs(dv)
    end = to_u < to_v
    return np.minimum(to_u, to_v), -np.sign(du) * end, -np.sign(dv) * ~end


def _shed(du: np.ndarray, dv: np.ndarray, part: Part) -> _Surface:
    return part.b + dv, 0.0, 1.0


def _cone(du: np.ndarray, dv: np.ndarray, part: Part) -> _Surface:
    distance = np.sqrt(du * du + dv * dv) + 1e-6
    return part.a - distance, -du / distance, -dv / distance


ROOFS: dict[str, Callable[[np.ndarray, np.ndarray, Part], _Surface]] = {
    "flat": _flat,
    "gable": _gable,
    "hip": _hip,
    "shed": _shed,
    "cone": _cone,
}


def paint(canvas: Canvas, building: Building) -> None:
    """Paint a building on a canvas; where its parts overlap, the higher roof shows."""
    window = canvas.window(building.x, building.y, building.radius + 0.5)
    if window is None:
        return
    view = (window.rows, window.columns)
    u, v = window.local(building.angle)
    c, s = math.cos(building.angle), math.sin(building.angle)
    top = np.zeros(u.shape, np.float32)
    for part in building.parts:
        du, dv = u - part.u, v - part.v
        rise, along_u, along_v = ROOFS[building.roof](du, dv, part)
        surface = building.eave + building.pitch * rise
        seen = (_edge_distance(du, dv, part) >= 0) & (surface > top)
        top[seen] = surface[seen]
        slope_u, slope_v = building.pitch * along_u, building.pitch * along_v
        np.copyto(canvas.slope_x[view], slope_u * c - slope_v * s, where=seen)
        np.copyto(canvas.slope_y[view], slope_u * s + slope_v * c, where=seen)
        if building.seam:  # Seams run down the slope, and along a flat roof.
            phase = (du if part.a >= part.b else dv) / building.seam
            tone = 0.93 + _SEAM * (phase - np.floor(phase) > 0.4)
            np.copyto(canvas.tone[view], tone, where=seen)
    inside = top > 0
    if not building.seam:
        np.copyto(canvas.tone[view], 1.0, where=inside)
    if building.roof == "flat":
        parapet = _rim(u, v, building.parts)
        top += 0.7 * parapet
        canvas.tone[view] += _SEAM * parapet
    np.copyto(canvas.height[view], top, where=inside)
    np.copyto(canvas.material[view], canvas.add_material(building.material), where=inside)
    for fixture in building.fixtures:
        _paint_fixture(canvas, view, u, v, fixture)


def _rim(u: np.ndarray, v: np.ndarray, parts: tuple[Part, ...]) -> np.ndarray:
    """Return bool, True within 0.9 pixels of the outline of the union of the parts."""
    edge = _edge_distance(u - parts[0].u, v - parts[0].v, parts[0])
    for part in parts[1:]:
        edge = np.maximum(edge, _edge_distance(u - part.u, v - part.v, part))
    return (edge >= 0) & (edge < 0.9)


def _paint_fixture(
    canvas: Canvas, view: tuple[slice, slice], u: np.ndarray, v: np.ndarray, fixture: Fixture
) -> None:
    part = fixture.part
    inside = _edge_distance(u - part.u, v - part.v, part) >= 0
    number = canvas.add_material(Material(fixture.albedo, (0.0, 0.0, 0.0), 0.03))
    canvas.height[view] += np.float32(fixture.rise) * inside
    np.copyto(canvas.material[view], number, where=inside)
    np.copyto(canvas.tone[view], 1.0, where=inside)
