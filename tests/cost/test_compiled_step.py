import jax
import pytest
import thin_config

from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.cost.arithmetic import lowered_flops
from noise2map_jax.devices.sharding import create_mesh


def test_arithmetic_is_counted_before_compiling_as_after():
    config = thin_config.get_config()
    config.train.batch_size, config.train.num_microbatches = 16, 2
    mesh = create_mesh(1, jax.devices()[:4])
    step = create_abstract_step(config, mesh)
    compiled = step.step.lower(*step.arguments).compile().cost_analysis()
    assert lowered_flops(config, mesh) == pytest.approx(compiled["flops"], rel=0.1)
    assert config.train.batch_size == 16
