import numpy as np
import pytest
import thin_config
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.data.dataset import Dataset
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.scaling_config import resolve_scaling, value_range
from noise2map_jax.method.scaling import scale_images


def test_each_band_has_its_own_range():
    image = np.array([[[[0, 100, 7]], [[50, 200, 9]], [[100, 150, 8]]]], np.uint16)
    scaled = scale_images(image, ((0.0, 100.0, 7.0), (100.0, 200.0, 9.0)))
    np.testing.assert_allclose(scaled[0, :, 0], [[-1, -1, -1], [0, 1, 1], [1, 0, 0]], atol=1e-6)


def test_values_far_outside_of_the_range_are_its_ends():
    image = np.array([[[[0]], [[150]], [[255]]]], np.uint8)  # -3, 0 and 2.1 without a limit
    scaled = scale_images(image, (100.0, 200.0))
    np.testing.assert_allclose(scaled[0, :, 0, 0], [-1, 0, 1], atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(low=st.integers(0, 1000), width=st.integers(1, 5000), value=st.integers(0, 65535))
def test_scaled_values_are_clipped_to_the_range_of_the_network(low, width, value):
    image = np.full((1, 1, 1, 1), value, np.uint16)
    scaled = float(scale_images(image, (float(low), float(low + width)))[0, 0, 0, 0])
    expected = np.clip(2 * (value - low) / width - 1, -1, 1)
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def dataset(bands):
    manifest = {"name": "toy", "splits": {"train": {"num_records": 1, "bands": bands}}}
    if bands is None:
        del manifest["splits"]["train"]["bands"]
    return Dataset(None, manifest)


BANDS = [{"low": 10, "high": 20}, {"low": 100, "high": 4000}, {"low": 0, "high": 9}]


def test_ranges_of_the_manifest_are_kept_in_the_config():
    config = thin_config.get_config()
    config.data.scaling, config.data.dtype = "manifest", "uint16"
    resolved = resolve_scaling(config, {"ss": dataset(BANDS)})
    assert resolved.data.band_ranges == ((10.0, 20.0), (100.0, 4000.0), (0.0, 9.0))
    assert value_range(resolved) == ((10.0, 100.0, 0.0), (20.0, 4000.0, 9.0))
    assert config.data.band_ranges == ()
    # A dataset that is built anew, or another one, does not change what a run sees.
    again = resolve_scaling(config, {"ss": dataset(BANDS[::-1])}, trained=resolved)
    assert again.data.band_ranges == resolved.data.band_ranges
    fresh = resolve_scaling(config, {"ss": dataset(BANDS[::-1])})
    assert fresh.data.band_ranges != resolved.data.band_ranges


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (None, "no band ranges for train; build it again"),
        ([{"low": None, "high": None}], "no band ranges for train"),
        ([{"low": 5, "high": 5}], "band 1 of dataset 'toy' ranges from 5 to 5"),
    ],
)
def test_a_manifest_without_usable_ranges_is_refused(bands, words):
    config = thin_config.get_config()
    config.data.scaling = "manifest"
    with pytest.raises(UserError, match=words):
        resolve_scaling(config, {"ss": dataset(bands)})


@pytest.mark.parametrize(
    "ranges", [((0.0, 1.0),), ((0.0, 1.0), (0.0, 1.0), (2.0, 1.0)), (0.0, 255.0, 1.0)]
)
def test_ranges_that_do_not_fit_the_bands_are_refused(ranges):
    config = thin_config.get_config()
    config.data.band_ranges = ranges
    with pytest.raises(UserError, match=r"expected( 3)? pairs"):
        value_range(config)


def test_an_image_without_a_batch_is_refused():
    with pytest.raises(AssertionError, match="rank"):
        scale_images(np.zeros((4, 4, 3), np.uint8), (0.0, 255.0))
