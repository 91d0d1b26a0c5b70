"""A run that is no longer than its warm-up."""

import pytest
import thin_config

from noise2map_jax.experiment.experiment import create_experiment, shortened_warmup


@pytest.mark.parametrize(
    ("asked", "num_steps", "used"),
    [(20, 320, 20), (20, 21, 20), (20, 20, 10), (20, 10, 5), (20, 1, 0), (0, 10, 0), (-1, 9, -1)],
)
def test_it_is_half_of_a_run_that_is_no_longer(asked, num_steps, used):
    assert shortened_warmup(asked, num_steps) == used


def test_the_config_of_the_run_keeps_what_is_used(thin_data):
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    config.train.update(num_steps=10, warmup_steps=20)
    assert create_experiment(config).config.train.warmup_steps == 5
    assert config.train.warmup_steps == 20
