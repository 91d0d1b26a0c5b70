import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax.previews.scale_bar import LONGEST, scale_bar

UNITS = {"cm": 0.01, "m": 1.0, "km": 1000.0}


@pytest.mark.parametrize(
    ("metres", "scene_pixels", "pixels", "label"),
    [
        (0.5, 2.0, 200.0, "200 m"),
        (0.5, 40.0, 100.0, "2 km"),
        (100.0, 1000.0, 200.0, "20,000 km"),
        (0.001, 0.1, 200.0, "2 cm"),
        (1.0, 1 / 220, 220.0, "1 m"),
        (None, 1.0, 200.0, "200 px"),
        (None, 1 / 300, 300.0, "1 px"),  # a pixel is the least
    ],
)
def test_bars_are_round(metres, scene_pixels, pixels, label):
    bar = scale_bar(metres, scene_pixels)
    assert bar.label == label
    assert bar.pixels == pytest.approx(pixels)


@given(st.floats(1e-4, 1e5), st.floats(1e-2, 1e3))
def test_label_and_length_agree(metres, scene_pixels):
    bar = scale_bar(metres, scene_pixels)
    number, unit = re.fullmatch(r"([\d.,e-]+) (cm|m|km)", bar.label).groups()
    length = float(number.replace(",", "")) * UNITS[unit]
    assert length == pytest.approx(bar.pixels * metres * scene_pixels, rel=1e-6)
    assert 0.39 * LONGEST < bar.pixels <= LONGEST * (1 + 1e-6)
