"""Sun, sky and sensor: from a canvas of materials and heights to a picture of 8 bits."""

import math
from typing import NamedTuple

import numpy as np

from data_prep.drawing.canvas import MARGIN, Canvas

_TURN = 8  # Shadows run along slopes of n / 8: whole samples after 8, 16 and 32 steps.


class Light(NamedTuple):
    """Sun, air and sensor of one date."""

    azimuth: float  # Direction of the sun: radians from +x (right) towards +y (down).
    elevation: float  # Of the sun, in radians above the horizon.
    sky: tuple[float, float, float]  # Share of the light that also reaches the shadows.
    gain: tuple[float, float, float]  # Exposure and tint.
    haze: float  # Radiance added by the air.
    blur: float  # 0 is sharp, 1 a 3 x 3 binomial filter.
    noise: float  # Standard deviation of the sensor's noise, in grey levels.


class Weather(NamedTuple):
    """Least and most of what the light of a date is drawn from; see `Light`."""

    azimuth: tuple[float, float]  # In degrees.
    elevation: tuple[float, float]  # In degrees.
    sky: tuple[float, float]
    exposure: tuple[float, float]
    tint: tuple[float, float]  # Of each band.
    haze: tuple[float, float]
    blur: tuple[float, float]
    noise: tuple[float, float]


# A sun in the south, and any weather without clouds.
FAIR = Weather(
    (20, 160), (33, 60), (0.22, 0.36), (0.72, 1.18), (0.95, 1.05), (0, 0.02), (0, 0.3), (1, 3)
)
# Both hemispheres and other sensors: long shadows, dark ones, haze, casts of colour.
ANY = Weather(
    (0, 360), (25, 68), (0.12, 0.40), (0.6, 1.35), (0.88, 1.12), (0, 0.06), (0, 0.9), (0.5, 5)
)


def draw_light(rng: np.random.Generator, weather: Weather) -> Light:
    """Draw the light of one date."""
    sky, exposure = rng.uniform(*weather.sky), rng.uniform(*weather.exposure)
    tint = rng.uniform(*weather.tint, 3)
    red, green, blue = (float(exposure * t) for t in tint)
    return Light(
        azimuth=math.radians(rng.uniform(*weather.azimuth)),
        elevation=math.radians(rng.uniform(*weather.elevation)),
        sky=(0.90 * sky, sky, 1.18 * sky),
        gain=(red, green, blue),
        haze=rng.uniform(*weather.haze),
        blur=rng.uniform(*weather.blur),
        noise=rng.uniform(*weather.noise),
    )


def _raise_to(ceiling: np.ndarray, ground: np.ndarray, dx: int, dy: int, drop: float) -> None:
    """Raise `ceiling[y, x]` to at least `ground[y + dy, x + dx] - drop`, in place."""
    h, w = ground.shape
    if abs(dx) >= w or abs(dy) >= h:
        return
    target = ceiling[max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)]
    source = ground[max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)]
    np.maximum(target, source - drop, out=target)


def shadows(height: np.ndarray, azimuth: float, elevation: float, density: int) -> np.ndarray:
    """Find the samples in shadow: those for which something higher hides the sun.

    Args:
        height: [h, w], in pixels.
        azimuth: direction of the sun, in radians from +x towards +y.
        elevation: elevation of the sun, in radians above the horizon.
        density: samples a pixel of the drawing: 2, 4 or 8.

    Returns:
        [h, w] bool; a shadow is at most 31 pixels of the drawing long.
    """
    x, y = math.cos(azimuth), math.sin(azimuth)
    major = max(abs(x), abs(y))
    x, y = round(x / major * _TURN), round(y / major * _TURN)  # The length of 8 steps, in samples.
    drop = math.hypot(x, y) / _TURN / density * math.tan(elevation)  # Pixels a step.
    ceiling = height.copy()
    for k in range(1, _TURN):
        _raise_to(ceiling, height, round(k * x / _TURN), round(k * y / _TURN), k * drop)
    k = 1
    while k <= 2 * density:  # The ceiling now holds 8 steps; each round doubles that.
        _raise_to(ceiling, ceiling, k * x, k * y, k * _TURN * drop)
        k *= 2
    return ceiling > height + 0.25


def expose(
    canvas: Canvas,
    light: Light,
    fine: np.ndarray,
    middle: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Light a canvas and take its picture.

    Args:
        canvas: the painted scene.
        light: light of the date.
        fine: [samples, samples] noise for the grain of the materials.
        middle: [samples, samples] noise for the drift of the materials.
        rng: random generator of the sensor's noise.

    Returns:
        [S, S, 3] uint8, where S is the size times the detail of the canvas.
    """
    edge = MARGIN * canvas.density
    inner = (slice(edge, canvas.samples - edge),) * 2
    albedo = np.array([m.albedo for m in canvas.materials], np.float32)
    drift = np.array([m.drift for m in canvas.materials], np.float32)
    grain = np.array([m.grain for m in canvas.materials], np.float32)

    flat = math.cos(light.elevation) / math.sin(light.elevation)
    towards_x = flat * math.cos(light.azimuth)
    towards_y = flat * math.sin(light.azimuth)
    slope_x, slope_y = canvas.slope_x[inner], canvas.slope_y[inner]
    sun = (1 - slope_x * towards_x - slope_y * towards_y).clip(0)
    sun /= np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    sun[shadows(canvas.height, light.azimuth, light.elevation, canvas.density)[inner]] = 0

    material, middle = canvas.material[inner], middle[inner]
    texture = canvas.tone[inner] * (1 + np.take(grain, material) * fine[inner])
    side = canvas.size * canvas.detail
    image = np.empty((side, side, 3), np.float32)
    for band in range(3):
        sky = light.sky[band]
        radiance = np.take(albedo[:, band], material) + np.take(drift[:, band], material) * middle
        radiance *= texture
        radiance *= sky + (1 - sky) * sun
        image[..., band] = _bin(radiance) * light.gain[band]
    image += light.haze
    image = _blur(image, light.blur)
    # A square root for the display's gamma: exactly rounded, unlike a power.
    image = 255 * np.sqrt(image.clip(0, 1))
    image += light.noise * rng.standard_normal(image.shape, dtype=np.float32)
    return np.rint(image).clip(0, 255).astype(np.uint8)


def _bin(plane: np.ndarray) -> np.ndarray:
    rows = plane[0::2] + plane[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * 0.25


def _blur(image: np.ndarray, amount: float) -> np.ndarray:
    side = amount / 4
    image = image.copy()
    image[1:-1] += side * (image[2:] + image[:-2] - 2 * image[1:-1])
    image[:, 1:-1] += side * (image[:, 2:] + image[:, :-2] - 2 * image[:, 1:-1])
    return image
