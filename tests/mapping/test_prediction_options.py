import numpy as np
import pytest
import thin_config

from noise2map_jax.errors import UserError
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.tiling import Tiling


def config(sample_size=0, crop_size=0):
    config = thin_config.get_config()  # tiles of 32
    config.model.sample_size, config.augment.crop_size = sample_size, crop_size
    config.model.unet.block_out_channels = (8, 8, 8)
    return config


def test_tiles_are_those_of_training_and_overlap_by_half():
    assert PredictionOptions().tiling(config()) == Tiling(32, 0, 16)
    assert PredictionOptions().tiling(config(crop_size=24)) == Tiling(24, 0, 12)
    with_own = config(crop_size=24)
    with_own.eval.map_tile_size = 48
    assert PredictionOptions().tiling(with_own) == Tiling(48, 0, 24)
    assert PredictionOptions(tile_size=64).tiling(with_own) == Tiling(64, 0, 32)
    assert PredictionOptions(margin=3).tiling(config()) == Tiling(32, 3, 13)
    assert PredictionOptions(tile_size=64, overlap=5).tiling(config()) == Tiling(64, 0, 5)


def test_larger_tiles_are_resampled_as_those_of_training():
    assert PredictionOptions().sample_size(config()) == 0
    assert PredictionOptions(tile_size=64).sample_size(config()) == 0
    assert PredictionOptions(tile_size=64).sample_size(config(sample_size=16)) == 32


def test_as_many_pixels_are_predicted_at_once_as_eight_tiles_of_training_hold():
    assert PredictionOptions().num_tiles(config(), 1) == 8
    assert PredictionOptions(tile_size=64).num_tiles(config(), 1) == 2
    assert PredictionOptions(tile_size=256).num_tiles(config(), 1) == 1
    assert PredictionOptions(tile_size=256).num_tiles(config(), 4) == 4
    assert PredictionOptions(batch_size=5).num_tiles(config(), 4) == 8


@pytest.mark.parametrize(
    ("options", "sample_size", "words"),
    [
        (
            {"tile_size": 30},
            0,
            "shrinks tiles by 4, so it takes multiples of 4, such as 32",
        ),
        ({"tile_size": -4}, 0, "tile_size is -4"),
        ({"tile_size": 33}, 16, "resamples tiles of 32 pixels to 16; choose a multiple of 32"),
        ({"overlap": 17}, 0, "at most half of them may overlap"),
    ],
)
def test_tiles_that_the_network_cannot_take_are_refused(options, sample_size, words):
    with pytest.raises(UserError, match=words):
        PredictionOptions(**options).tiling(config(sample_size))


@pytest.mark.parametrize("threshold", [0, 1.0, -0.1, float("nan"), "most", 2])
def test_thresholds_that_are_no_probability_are_refused(threshold):
    with pytest.raises(UserError, match="threshold is"):
        PredictionOptions(threshold=threshold)


def test_options_from_python_may_have_any_type_of_number():
    given = PredictionOptions(
        timesteps=[700, np.int64(999)], tile_size=np.uint8(64), threshold=np.float32(0.25)
    )
    assert given == PredictionOptions(timesteps=(700, 999), tile_size=64, threshold=0.25)
    assert hash(given) == hash(PredictionOptions(given.timesteps, 64, threshold=0.25))
    assert PredictionOptions(timesteps=999) == PredictionOptions(timesteps=np.array([999]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timesteps": (700.5,)}, "timesteps is 700.5; expected a whole number"),
        ({"tile_size": 64.0}, "tile_size is 64.0; expected a whole number"),
        ({"margin": None}, "margin is None"),
        ({"overlap": -5}, "overlap is -5; expected 0 or more, or -1"),
        ({"threshold": True}, "threshold is True"),
        ({"threshold": "0.4"}, "threshold is '0.4'"),
    ],
)
def test_what_is_no_such_number_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        PredictionOptions(**options)
