import pytest
import thin_config

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.experiment.map_tiles import check_tile_size, map_tile_size, resampled_size


def config(map_tile_size=0, crop_size=0, sample_size=0):
    config = thin_config.get_config()  # tiles of 32
    config.eval.map_tile_size = map_tile_size
    config.augment.crop_size, config.model.sample_size = crop_size, sample_size
    config.model.unet.block_out_channels = (8, 8, 8)
    return config


def test_maps_have_tiles_of_training_unless_the_run_says_otherwise():
    assert map_tile_size(config()) == 32
    assert map_tile_size(config(crop_size=24)) == 24
    assert map_tile_size(config(crop_size=24, map_tile_size=64)) == 64


def test_larger_tiles_keep_the_scale_of_training():
    assert resampled_size(config(), 64) == 0
    assert resampled_size(config(sample_size=16), 64) == 32
    check_tile_size(config(sample_size=16), 64)
    with pytest.raises(UserError, match="resamples tiles of 32 pixels to 16; choose a multiple"):
        check_tile_size(config(sample_size=16), 33)


@pytest.mark.parametrize("size", [30, -4])
def test_a_run_is_refused_before_it_trains_if_its_maps_could_not_be_made(size, thin_data):
    asked = config(64)
    asked.data.data_dir = str(thin_data)
    create_experiment(asked)
    asked.eval.map_tile_size = size
    with pytest.raises(UserError, match=rf"eval\.map_tile_size is {size}; this network shrinks"):
        create_experiment(asked)
