"""A 2.5-D canvas: the material and the height of every sample, on a supersampled grid.

Objects paint material, height and slope; `light.expose` turns these into a picture. Arithmetic is
limited to +, -, *, / and square roots, which are exactly rounded: the bytes depend neither on
vector units nor on the number of threads.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

SUPERSAMPLING = 2
MARGIN = 8  # Pixels around the tile: objects there cast shadows into it.


class Material(NamedTuple):
    """A surface: linear albedo, its drift with the middle noise, the strength of its grain."""

    albedo: tuple[float, float, float]
    drift: tuple[float, float, float]
    grain: float


def linear(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """Turn grey levels (0 to 255) into albedo; `light.expose` takes the root again."""
    return (red / 255) ** 2, (green / 255) ** 2, (blue / 255) ** 2


class Window(NamedTuple):
    """The part of a canvas around one object, with coordinates relative to the object's centre."""

    rows: slice
    columns: slice
    dx: np.ndarray  # [1, w] float32
    dy: np.ndarray  # [h, 1] float32

    def local(self, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates u, v, both [h, w] in pixels, of a frame turned by `angle`."""
        c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        return self.dx * c + self.dy * s, self.dy * c - self.dx * s


class Canvas:
    """The scene on the sensor's supersampled grid."""

    def __init__(self, size: int, shift: tuple[float, float] = (0.0, 0.0), detail: int = 1):
        """Make an empty, flat canvas of material 0.

        Args:
            size: side of the tile, in pixels.
            shift: where the tile's corner lies in the scene (x, y), in pixels, at most 1 each.
            detail: how many pixels of the picture a pixel of the drawing has along each axis.
        """
        self.size = size
        self.shift = shift
        self.detail = detail
        self.density = SUPERSAMPLING * detail  # Samples a pixel of the drawing.
        self.samples = self.density * (size + 2 * MARGIN)
        shape = (self.samples, self.samples)
        self.material = np.zeros(shape, np.int32)
        self.height = np.zeros(shape, np.float32)
        self.slope_x = np.zeros(shape, np.float32)
        self.slope_y = np.zeros(shape, np.float32)
        self.tone = np.ones(shape, np.float32)
        self.materials: list[Material] = []
        steps = (np.arange(self.samples) + 0.5) / self.density - MARGIN
        self._x, self._y = steps + shift[0], steps + shift[1]

    def add_material(self, material: Material) -> int:
        """Add a material to the canvas' table and return its number."""
        self.materials.append(material)
        return len(self.materials) - 1

    def window(self, x: float, y: float, radius: float) -> Window | None:
        """Return the samples at most `radius` pixels from (x, y); None if there are none."""
        columns = self._span(x - self.shift[0], radius)
        rows = self._span(y - self.shift[1], radius)
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        dx = (self._x[columns] - x).astype(np.float32)[None, :]
        dy = (self._y[rows] - y).astype(np.float32)[:, None]
        return Window(rows, columns, dx, dy)

    def _span(self, centre: float, radius: float) -> slice:
        first = math.floor((centre - radius + MARGIN) * self.density)
        last = math.ceil((centre + radius + MARGIN) * self.density)
        return slice(min(max(first, 0), self.samples), min(max(last, 0), self.samples))

    def indices(self, x: np.ndarray, y: np.ndarray, reach: int) -> tuple[np.ndarray, ...]:
        """Return the samples around many small objects at once.

        Args:
            x: centres [n], in pixels.
            y: centres [n], in pixels.
            reach: samples on either side of a centre.

        Returns:
            flat indices [n, k, k], clipped to the canvas; dx [n, 1, k] and dy [n, k, 1] from the
            centres, in pixels, float32; valid [n, k, k], False outside the canvas.
        """
        offsets = np.arange(-reach, reach + 1)
        column = np.floor((x - self.shift[0] + MARGIN) * self.density).astype(np.int64)
        row = np.floor((y - self.shift[1] + MARGIN) * self.density).astype(np.int64)
        columns = column[:, None, None] + offsets[None, None, :]
        rows = row[:, None, None] + offsets[None, :, None]
        valid = (columns >= 0) & (columns < self.samples) & (rows >= 0) & (rows < self.samples)
        columns = columns.clip(0, self.samples - 1)
        rows = rows.clip(0, self.samples - 1)
        dx = (self._x[columns] - x[:, None, None]).astype(np.float32)
        dy = (self._y[rows] - y[:, None, None]).astype(np.float32)
        return rows * self.samples + columns, dx, dy, valid


class Noise(NamedTuple):
    """Smooth noise, fixed to the ground: all dates and registrations share it."""

    grid: np.ndarray  # [n, n] float32, unit variance.
    spacing: float  # Pixels between grid points.

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int, spacing: float) -> "Noise":
        """Draw the noise of a tile of `size` pixels."""
        n = math.ceil((size + 2 * MARGIN + 2) / spacing) + 4
        return cls(rng.standard_normal((n, n), dtype=np.float32), spacing)

    def sample(self, canvas: Canvas) -> np.ndarray:
        """Interpolate the noise at the canvas' samples: [samples, samples] float32."""
        # Two grid points of room for the cubic kernel, one pixel for the shift.
        left, upper = ((shift + 1) / self.spacing + 2 for shift in canvas.shift)
        extent = canvas.samples / canvas.density / self.spacing
        box = (left, upper, left + extent, upper + extent)
        shape = (canvas.samples, canvas.samples)
        kernel = Image.Resampling.BICUBIC
        return np.asarray(Image.fromarray(self.grid).resize(shape, kernel, box=box))
