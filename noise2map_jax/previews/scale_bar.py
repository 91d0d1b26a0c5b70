"""The scale bar: its length in pixels of the picture, and what it says."""

import math
from typing import NamedTuple

LONGEST = 220  # pixels


class ScaleBar(NamedTuple):
    """A scale bar.

    Attributes:
        pixels: length in the picture.
        label: length on the ground, such as 200 m; without one: of the scene, such as 500 px.
    """

    pixels: float
    label: str


def scale_bar(metres_a_pixel: float | None, scene_pixels: float) -> ScaleBar:
    """Choose the longest bar that fits and has a round length: 1, 2 or 5 times a power of ten.

    Args:
        metres_a_pixel: metres on the ground along a pixel of the scene; None: not known.
        scene_pixels: pixels of the scene along a pixel of the picture.
    """
    unit = (metres_a_pixel or 1.0) * scene_pixels  # along a pixel of the picture
    length = _round_down(LONGEST * unit)
    if metres_a_pixel is None:
        # There is nothing shorter than a pixel of the scene.
        return ScaleBar(max(length, 1) / unit, f"{max(length, 1):,.0f} px")
    if length >= 1000:
        return ScaleBar(length / unit, f"{length / 1000:,.0f} km")
    if length >= 1:
        return ScaleBar(length / unit, f"{length:.0f} m")
    return ScaleBar(length / unit, f"{100 * length:.12g} cm")


def _round_down(length: float) -> float:
    power = 10.0 ** math.floor(math.log10(length))
    return max(digit * power for digit in (1, 2, 5) if digit * power <= length * (1 + 1e-9))
