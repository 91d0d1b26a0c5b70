import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.mapping import layers
from noise2map_jax.mapping.blending import Strip

PROBABILITIES = np.array([[[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.4, 0.35, 0.25]]], np.float32)
VALUES = np.concatenate([PROBABILITIES, np.full((1, 3, 1), 0.125, np.float32)], axis=-1)
STRIP = Strip(0, 0, VALUES, np.array([[True, True, False]]))


def test_classes_are_the_most_probable_or_those_above_a_threshold():
    names = ("background", "a", "b")
    np.testing.assert_array_equal(layers.class_layer(names, None).pixels(STRIP), [[[0, 2, 255]]])
    np.testing.assert_array_equal(layers.class_layer(names, 0.5).pixels(STRIP), [[[1, 2, 255]]])
    np.testing.assert_array_equal(layers.class_layer(names, 0.9).pixels(STRIP), [[[0, 0, 255]]])


def test_probabilities_are_floats_or_steps_of_one_byte():
    found = layers.foreground_layer("float32").pixels(STRIP)
    np.testing.assert_allclose(found, [[[0.5, 0.8, np.nan]]], atol=1e-6)
    assert found.dtype == np.float32
    layer = layers.foreground_layer("uint8")
    np.testing.assert_array_equal(layer.pixels(STRIP), [[[125, 200, 255]]])
    np.testing.assert_allclose(layer.pixels(STRIP)[0, 0, :2] * layer.scale, [0.5, 0.8])
    certain = Strip(0, 0, np.array([[[0, 1, 0, 0.5]]], np.float32), np.ones((1, 1), bool))
    assert layer.pixels(certain).item() == layers.LEVELS < layer.nodata
    each = layers.classes_layer(("background", "a", "b"), "uint8")
    assert each.band_names == ("background", "a", "b")
    np.testing.assert_array_equal(each.pixels(STRIP)[:, 0, 1], [50, 75, 125])


def test_uncertainty_is_the_last_value():
    found = layers.uncertainty_layer("float32").pixels(STRIP)
    np.testing.assert_array_equal(found, [[[0.125, 0.125, np.nan]]])


def test_other_types_are_refused():
    with pytest.raises(UserError, match="'int16' are not known; expected float32 or uint8"):
        layers.foreground_layer("int16")
