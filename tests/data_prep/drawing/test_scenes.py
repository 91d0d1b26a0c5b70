import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import programs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from data_prep.drawing.canvas import MARGIN, SUPERSAMPLING, Canvas, Material
from data_prep.drawing.light import Light, expose, shadows
from data_prep.drawing.roofs import Building, Part, mark_footprint, paint
from data_prep.drawing.scenes import (
    DETAILS,
    SHARE,
    TOWNS,
    _alter,
    _union,
    change_scene,
    segmentation_scene,
)

SCENES = {"ss": segmentation_scene, "cd": change_scene}
BOTH = pytest.mark.parametrize("town", TOWNS)
# Of what the weights that come with the project have seen.
SEEN = {
    ("ss", "suburb"): "57618256dca8c8bfd17f1eecb370bd1177a67565ef91407abef428bb6bc2c924",
    ("ss", "city"): "92653da258b21bfb9d607d1447107c7f11a6410fdab4820b2691f62cc70bdeef",
    ("cd", "suburb"): "9c4268ae47b9d3022b2fe8c2046c901637ef45c37c539e151077af69b8c20879",
}
NOON = Light(math.radians(90), math.radians(89.9), (0.3,) * 3, (1.0,) * 3, 0.0, 0.0, 0.0)


def footprint(building, size):
    mask = np.zeros((size, size), bool)
    mark_footprint(mask, building)
    return mask


def _draw(task, town, seeds, size):
    scenes = [SCENES[task](np.random.default_rng(seed), size, town) for seed in seeds]
    return [np.stack(arrays) for arrays in zip(*scenes, strict=True)]


@pytest.fixture(scope="module")
def segmentation():
    return _draw("ss", "suburb", range(80), 96)


@pytest.fixture(scope="module")
def change():
    return _draw("cd", "suburb", range(80), 96)


def _digest(task, town):
    digest = hashlib.sha256()
    for size in (64, 96):
        for array in SCENES[task](np.random.default_rng([7, size]), size, town):
            digest.update(array.tobytes())
    return digest.hexdigest()


@BOTH
@pytest.mark.parametrize("task", SCENES)
def test_same_bytes_in_this_and_in_a_fresh_process(task, town):
    call = f"t._digest({task!r}, {town!r})"
    program = f"import tests.data_prep.drawing.test_scenes as t; print({call})"
    fresh = subprocess.run(
        [sys.executable, "-c", program],
        cwd=programs.ROOT,
        env=os.environ | {"PYTHONPATH": str(programs.HELPERS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert fresh.stdout.strip() == _digest(task, town) == _digest(task, town)


@pytest.mark.parametrize(("task", "town"), SEEN)
def test_scenes_are_those_that_the_weights_have_seen(task, town):
    assert _digest(task, town) == SEEN[task, town]


@BOTH
@pytest.mark.parametrize("task", SCENES)
def test_scenes_depend_on_the_generator_alone(task, town):
    rng = np.random.default_rng(3)
    first, second = SCENES[task](rng, 64, town), SCENES[task](rng, 64, town)
    assert not np.array_equal(first[0], second[0])
    again = SCENES[task](np.random.default_rng(3), 64, town)
    np.testing.assert_array_equal(first[0], again[0])


@BOTH
@pytest.mark.parametrize("size", [16, 64, 100, 127, 256])
@pytest.mark.parametrize("task", SCENES)
def test_shapes_and_types(task, size, town):
    *images, mask = SCENES[task](np.random.default_rng(size), size, town)
    assert len(images) == {"ss": 1, "cd": 2}[task]
    for image in images:
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert image.std() > 4
    assert mask.shape == (size, size, 1)
    assert mask.dtype == np.uint8
    assert mask.max() <= 1


@BOTH
@pytest.mark.parametrize("detail", DETAILS[1:])
@pytest.mark.parametrize("task", SCENES)
def test_shapes_in_more_detail(task, detail, town):
    *images, mask = SCENES[task](np.random.default_rng(5), 40, town, detail)
    for image in images:
        assert image.shape == (40 * detail, 40 * detail, 3)
        assert image.std() > 4
    assert mask.shape == (40 * detail, 40 * detail, 1)


@BOTH
@pytest.mark.parametrize("detail", DETAILS[1:])
def test_more_detail_shows_the_same_buildings(detail, town):
    for seed in range(8):
        _, coarse = segmentation_scene(np.random.default_rng(seed), 64, town)
        _, fine = segmentation_scene(np.random.default_rng(seed), 64, town, detail)
        blocks = fine.reshape(64, detail, 64, detail)
        shares = blocks.mean(axis=(1, 3))
        whole = (shares == 0) | (shares == 1)  # Not at an edge.
        # A corner may cut through a block's middle and miss the pixels around it.
        assert (shares[whole] != coarse[..., 0][whole]).mean() < 1e-3
        assert whole.mean() > 0.6
        # Edges cut through blocks: the mask is drawn finer, not magnified.
        assert fine.any() == coarse.any()
        assert not coarse.any() or not whole.all()


@BOTH
def test_more_detail_is_drawn_not_magnified(town):
    def sharpness(images):
        return np.mean([np.quantile(abs(np.diff(i.astype(float), axis=1)), 0.99) for i in images])

    coarse, fine = (
        [segmentation_scene(np.random.default_rng(s), 64, town, detail)[0] for s in range(10)]
        for detail in (1, 2)
    )
    magnified = [ndimage.zoom(image.astype(float), (2, 2, 1), order=1) for image in coarse]
    assert sharpness(fine) > 1.4 * sharpness(magnified)


def test_share_of_buildings(segmentation):
    shares = segmentation[-1].mean(axis=(1, 2, 3))
    assert 0.15 < shares.mean() < 0.25
    assert shares.max() < 0.5
    assert np.quantile(shares, 0.1) > 0.03


def test_share_of_change(change):
    shares = change[-1].mean(axis=(1, 2, 3))
    assert 0.05 < shares.mean() < 0.12
    assert shares.max() < 0.35
    assert 0 < np.mean(shares == 0) < 0.25


def test_sizes_of_buildings_in_pixels():
    for seed in range(20):
        for building in TOWNS["suburb"](np.random.default_rng(seed), 128).buildings:
            for part in building.parts:
                assert 2.5 <= min(part.a, part.b) <= 18


@BOTH
def test_no_building_stands_on_a_street(town):
    for seed in range(40):
        site = TOWNS[town](np.random.default_rng(seed), 128)
        rows, columns = np.nonzero(_union(site.buildings, site))
        # A corner of a crooked hut may reach across the edge.
        least = -1.5 if town == "city" else 1.0
        assert (site.streets.clearance(columns + 0.5, rows + 0.5) > least).all()


def test_cities_are_denser_and_differ_more():
    suburbs, cities = (
        np.array(
            [
                _union(site.buildings, site).mean()
                for site in (draw(np.random.default_rng(seed), 128) for seed in range(60))
            ]
        )
        for draw in TOWNS.values()
    )
    assert cities.mean() > suburbs.mean() + 0.02
    assert cities.std() > 1.5 * suburbs.std()
    assert cities.max() < 0.7


def _best_threshold(values, mask):
    """Return sign, threshold and F1 of the best threshold of either sign."""
    positive = np.bincount(values[mask], minlength=256).astype(float)
    negative = np.bincount(values[~mask], minlength=256).astype(float)
    best = (0, 0, 0.0)
    for sign in (1, -1):
        hits, alarms = (np.cumsum(h[::-sign])[::-sign] for h in (positive, negative))
        f1 = 2 * hits / (hits + alarms + positive.sum())
        best = max(best, (sign, int(f1.argmax()), float(f1.max())), key=lambda b: b[-1])
    return best


def _threshold_f1(values, mask):
    """Fit a threshold on the first 50 scenes and return its F1 on the others."""
    sign, threshold, _ = _best_threshold(values[:50], mask[:50])
    predicted = values[50:] >= threshold if sign == 1 else values[50:] <= threshold
    return 2 * (predicted & mask[50:]).sum() / (predicted.sum() + mask[50:].sum())


@pytest.mark.parametrize(("inside", "outside"), [(90, 200), (200, 90)])
def test_best_threshold_is_found(inside, outside):
    mask = np.zeros((60, 8, 8), bool)
    mask[:, 2:5] = True
    assert _threshold_f1(np.where(mask, inside, outside), mask) == 1.0


def test_no_threshold_of_a_band_finds_the_buildings(segmentation):
    images, mask = segmentation[0].astype(int), segmentation[1][..., 0] == 1
    scores = [_threshold_f1(images[..., band], mask) for band in range(3)]
    scores.append(_threshold_f1(images.sum(-1) // 3, mask))
    scores.append(_threshold_f1(images.max(-1) - images.min(-1), mask))
    assert max(scores) < 0.50


def test_no_threshold_of_the_difference_finds_the_change(change):
    pre, post, mask = change[0].astype(float), change[1].astype(float), change[2][..., 0] == 1
    difference = np.abs(pre - post).mean(-1)
    blurred = ndimage.uniform_filter(difference, (0, 5, 5))
    scores = [_threshold_f1(np.rint(d).astype(int), mask) for d in (difference, blurred)]
    assert max(scores) < 0.45


def test_change_is_visible(change):
    """With each image's light taken off, what changed differs more than what did not."""
    pre, post, mask = change[0], change[1], change[2][..., 0] == 1
    scaled = [
        (i - i.mean((1, 2), keepdims=True)) / i.std((1, 2), keepdims=True) for i in (pre, post)
    ]
    difference = np.abs(scaled[0] - scaled[1]).mean(-1)
    assert difference[mask].mean() > 1.4 * difference[~mask].mean()
    visible = [d[m].mean() for d, m in zip(difference, mask, strict=True) if m.sum() > 50]
    assert np.quantile(visible, 0.05) > 0.4


@pytest.mark.parametrize("seed", range(6))
def test_light_season_and_traffic_are_no_change(seed):
    pre, post, mask = change_scene(np.random.default_rng(seed), 96, share=(0.0, 0.0))
    assert not mask.any()
    assert np.abs(pre.astype(int) - post).mean() > 6


@given(seed=st.integers(0, 2**32), target=st.floats(0.0, 0.3), town=st.sampled_from([*TOWNS]))
@settings(max_examples=120, deadline=None)
def test_the_change_mask_is_what_happened_to_the_buildings(seed, target, town):
    rng = np.random.default_rng(seed)
    site = TOWNS[town](rng, 64)
    pre, post, mask = _alter(rng, site, target)
    np.testing.assert_array_equal(mask, _shown(pre) != _shown(post))
    assert mask.mean() >= target or not set(pre) & set(post), "it stopped before the target"


def _shown(buildings, size=64):
    """What shows at each pixel of a date: place and roof of the last building, not its wings."""
    shown = np.zeros((size, size), np.int64)
    for building in buildings:
        shown[footprint(building, size)] = hash((building.x, building.y, building.material))
    return shown


def test_pairs_reach_the_asked_share():
    for seed in range(10):
        mask = change_scene(np.random.default_rng(seed), 128, share=(0.08, 0.08))[-1]
        assert mask.mean() < 0.08 + 0.10
    assert SHARE[0] < SHARE[1]


def _white_box(x, y, angle, a=9.0, b=6.0, eave=5.0, roof="flat"):
    white = Material((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 0.0)
    return Building(x, y, angle, (Part(0.0, 0.0, a, b),), roof, eave, 0.0, white, 0.0, ())


def _photograph(building, shift=(0.0, 0.0), light=NOON):
    canvas = Canvas(48, shift)
    canvas.add_material(Material((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0))
    paint(canvas, building)
    canvas.tone[:] = 1
    nothing = np.zeros_like(canvas.height)
    image = expose(canvas, light, nothing, nothing, np.random.default_rng(0))
    return (image[..., 0] / 255.0) ** 2  # Back to the share of the pixel that is white.


@pytest.mark.parametrize(
    ("x", "y", "angle"), [(24.0, 24.0, 0.0), (22.3, 25.9, 0.4), (25.7, 20.1, 2.0)]
)
def test_mask_and_image_are_aligned(x, y, angle):
    building = _white_box(x, y, angle)
    mask, image = footprint(building, 48), _photograph(building)
    assert image[ndimage.binary_erosion(mask, np.ones((3, 3)))].min() > 0.97
    assert image[~ndimage.binary_dilation(mask, np.ones((3, 3)))].max() < 0.03
    assert abs(mask.sum() - 4 * 9 * 6) < 12
    rows, columns = np.mgrid[:48, :48] + 0.5
    for weights in (image, mask):
        assert np.average(columns, weights=weights) == pytest.approx(x, abs=0.12)
        assert np.average(rows, weights=weights) == pytest.approx(y, abs=0.12)


def test_mask_is_exact_at_pixel_centres():
    mask = footprint(_white_box(10.0, 20.0, 0.0, a=4.6, b=2.4), 48)
    expected = np.zeros((48, 48), bool)
    expected[18:22, 5:15] = True  # Centres 5.5 .. 14.5 and 18.5 .. 21.5 lie inside.
    np.testing.assert_array_equal(mask, expected)


def test_footprint_is_the_union_of_its_parts_and_is_cut_at_the_border():
    parts = (Part(0.0, 0.0, 8.0, 3.0), Part(-5.0, 6.0, 3.0, 6.0), Part(9.0, 9.0, 4.0, 4.0, True))
    building = _white_box(2.2, 40.4, 0.7)._replace(parts=parts)
    rows, columns = np.mgrid[:48, :48] + 0.5
    dx, dy = columns - 2.2, rows - 40.4
    u = dx * math.cos(0.7) + dy * math.sin(0.7)
    v = dy * math.cos(0.7) - dx * math.sin(0.7)
    expected = (abs(u) <= 8) & (abs(v) <= 3) | (abs(u + 5) <= 3) & (abs(v - 6) <= 6)
    expected |= np.hypot(u - 9, v - 9) <= 4
    np.testing.assert_array_equal(footprint(building, 48), expected)
    assert not footprint(building._replace(x=-40.0), 48).any()


def test_a_shifted_sensor_sees_the_scene_displaced():
    building = _white_box(24.0, 24.0, 0.3)
    columns = np.arange(48) + 0.5
    still, moved = _photograph(building), _photograph(building, (0.25, 0.0))
    centres = [np.average(columns, weights=image.sum(0)) for image in (still, moved)]
    assert centres[0] - centres[1] == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("azimuth", [0, 90, 180, 270, 45, 200])
def test_shadows_fall_away_from_the_sun_as_long_as_the_height_asks(azimuth):
    height = np.zeros((160, 160), np.float32)
    height[78:82, 78:82] = 10.0
    azimuth, elevation = math.radians(azimuth), math.radians(40.0)
    shadow = shadows(height, azimuth, elevation, SUPERSAMPLING)
    rows, columns = np.nonzero(shadow)
    along = -((columns - 79.5) * math.cos(azimuth) + (rows - 79.5) * math.sin(azimuth))
    length = 10.0 / math.tan(elevation) * SUPERSAMPLING
    assert along.min() > 0
    assert along.max() == pytest.approx(length + 2, abs=2.5)
    across = (rows - 79.5) * math.cos(azimuth) - (columns - 79.5) * math.sin(azimuth)
    assert abs(across).max() < 6


def test_gable_is_brighter_towards_the_sun():
    building = _white_box(24.0, 24.0, 0.0, roof="gable")._replace(
        pitch=0.6, material=Material((0.4, 0.4, 0.4), (0.0, 0.0, 0.0), 0.0)
    )
    south = NOON._replace(elevation=math.radians(45.0))  # The sun stands towards +y.
    image = _photograph(building, light=south)
    assert image[26:29, 18:30].mean() > 1.5 * image[19:22, 18:30].mean()


def test_what_stands_outside_the_tile_shades_it():
    low_sun = NOON._replace(azimuth=math.pi, elevation=math.radians(30.0))
    building = _white_box(-4.0, 24.0, 0.0, a=3.0, b=6.0, eave=8.0)
    canvas = Canvas(48)
    canvas.add_material(Material((0.5, 0.5, 0.5), (0.0, 0.0, 0.0), 0.0))
    paint(canvas, building)
    nothing = np.zeros_like(canvas.height)
    image = expose(canvas, low_sun, nothing, nothing, np.random.default_rng(0))
    assert MARGIN >= 7
    assert image[24, 4, 0] < 0.7 * image[5, 4, 0]
    assert image[24, 20, 0] == image[5, 4, 0]
