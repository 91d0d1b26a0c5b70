import numpy as np
import pytest
from PIL import Image

from noise2map_jax.pictures import map_colours, prediction_rows


def a_record(num_images=1, size=16, classes=2, dtype=np.uint8, bands=3):
    images = tuple(np.full((size, size, bands), 40 * (i + 1), dtype) for i in range(num_images))
    mask = np.zeros((size, size), np.uint8)
    mask[:8] = 1
    mask[:, 0] = 255
    probabilities = np.zeros((size, size, classes), np.float32)
    probabilities[..., 0] = 1
    probabilities[:, 8:] = np.eye(classes)[1]
    return prediction_rows.PredictedRecord(images, mask, probabilities, "scene/r0_c0")


@pytest.mark.parametrize(("num_images", "columns"), [(1, 4), (2, 5)])
def test_a_row_a_record_and_a_column_a_panel(num_images, columns):
    picture = prediction_rows.draw_predictions([a_record(num_images)] * 3, (0, 255), "title")
    assert picture.dtype == np.uint8
    zoom = -(-prediction_rows.PANEL // 16)
    step = 16 * zoom + prediction_rows.GAP
    assert picture.shape == (
        prediction_rows.HEADER + 3 * step,
        prediction_rows.GAP + columns * step,
        3,
    )


def test_prediction_panel_tells_right_wrong_and_ignored_apart():
    picture = prediction_rows.draw_predictions([a_record()], (0, 255), "title")
    zoom = -(-prediction_rows.PANEL // 16)

    def pixel(column, y, x):
        left = prediction_rows.GAP + column * (16 * zoom + prediction_rows.GAP)
        return tuple(picture[prediction_rows.HEADER + y * zoom + 2, left + x * zoom + 2].tolist())

    assert pixel(0, 2, 2) == (40, 40, 40)  # the image
    assert pixel(1, 2, 2) == (255, 255, 255)  # truth: building
    assert pixel(1, 2, 0) == map_colours.IGNORED
    assert pixel(2, 2, 10) == (255, 255, 255)  # found
    assert pixel(2, 2, 2) == map_colours.FALSE_NEGATIVE
    assert pixel(2, 10, 10) == map_colours.FALSE_POSITIVE
    assert pixel(2, 10, 2) == (0, 0, 0)
    assert pixel(3, 2, 10) == (255, 255, 255)  # probability 1
    assert pixel(3, 2, 2) == (0, 0, 0)


@pytest.mark.parametrize(
    "options", [{"dtype": np.uint16}, {"bands": 1}, {"bands": 7}, {"classes": 4}]
)
def test_other_sensors_and_classes_are_drawn(options):
    picture = prediction_rows.draw_predictions([a_record(**options)], (0, 65535), "title")
    assert picture.shape[-1] == 3


def test_the_file_is_a_png(tmp_path):
    picture = prediction_rows.draw_predictions([a_record()], (0, 255), "title")
    prediction_rows.save_png(picture, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), picture)
