import numpy as np

from noise2map_jax.previews.outlines import draw_outlines

COLOURS = ((1, 2, 3), (250, 250, 250), (230, 159, 0))


def test_the_outermost_pixels_of_a_region_are_its_line():
    classes = np.zeros((12, 12), np.uint8)
    classes[2:8, 3:9] = 1
    image = np.full((12, 12, 3), 90, np.uint8)
    drawn = draw_outlines(image, classes, COLOURS)
    line, dark = (drawn == COLOURS[1]).all(-1), (drawn == 0).all(-1)
    expected = np.zeros((12, 12), bool)
    expected[2:8, 3:9] = True
    around = np.zeros((12, 12), bool)
    around[1:9, 2:10] = True
    np.testing.assert_array_equal(dark, around & ~expected)
    expected[3:7, 4:8] = False
    np.testing.assert_array_equal(line, expected)
    assert (drawn[3:7, 4:8] == 90).all()
    assert (image == 90).all()


def test_neighbours_of_two_classes_have_both_lines():
    classes = np.full((4, 8), 1, np.uint8)
    classes[:, 4:] = 2
    drawn = draw_outlines(np.full((4, 8, 3), 90, np.uint8), classes, COLOURS)
    assert (drawn[:, 3] == COLOURS[1]).all()
    assert (drawn[:, 4] == COLOURS[2]).all()
    assert (drawn[:, [0, 1, 2, 5, 6, 7]] == 90).all()  # no line along the edge of the scene


def test_no_data_and_background_have_no_outline():
    classes = np.zeros((6, 6), np.uint8)
    classes[2:4] = 255
    image = np.full((6, 6, 3), 90, np.uint8)
    np.testing.assert_array_equal(draw_outlines(image, classes, COLOURS), image)
