import jax
import pytest
import thin_config

from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.cost.step_cost import step_cost
from noise2map_jax.devices.execution import create_execution
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.training.trainer import Run, Trainer


@pytest.fixture
def config(thin_data):
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    config.train.ema_decay = 0.9
    config.train.initial_share = 0.3
    config.train.warmup_steps = 2
    return config


@pytest.mark.parametrize("fsdp", [1, 4])
def test_it_is_the_step_that_is_trained_with(fsdp, config, tmp_path, monkeypatch):
    monkeypatch.setattr("noise2map_jax.devices.sharding.LEAST_SHARDED", 64)
    config.mesh.fsdp = fsdp
    found = create_abstract_step(config, create_mesh(fsdp))

    experiment = create_experiment(config)
    trainer, runs = (
        Trainer(experiment, create_execution("dispatch", 1, fsdp)),
        [Run(experiment, tmp_path)],
    )
    start = trainer.start(runs, tmp_path)
    batch = trainer.execution.put_batches(next(trainer.batches(runs, 0)))
    arguments = (start.state, batch, trainer.processes(runs), trainer.root_keys(runs))
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), arguments)
    expected = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), found.arguments)
    assert jax.tree.structure(shapes) == jax.tree.structure(expected)
    assert jax.tree.leaves(shapes) == jax.tree.leaves(expected)
    # Letter by letter the program that is compiled.
    lowered = found.step.lower(*found.arguments).as_text()
    assert lowered == trainer.step.lower(*arguments).as_text()
    config.train.learning_rate = 1e-2
    other = create_abstract_step(config, create_mesh(fsdp))
    assert other.step.lower(*other.arguments).as_text() != lowered


def test_initial_parameters_that_are_kept_take_their_memory(config):
    costs = []
    for config.train.initial_share in (0.0, 0.3):
        found = create_abstract_step(config, create_mesh())
        costs.append(step_cost(found.step.lower(*found.arguments).compile(), found.arguments[0]))
    without, kept = costs
    assert without.initial == 0
    assert kept.parameters == without.parameters == without.averages
    tensors = len(jax.tree.leaves(found.arguments[0].params))
    assert kept.initial == kept.parameters + 4 * tensors  # and the share of each
    assert kept.batch == without.batch
    assert kept.memory - without.memory >= kept.initial


def test_what_is_read_from_the_data_is_stood_in_for(config):
    config.data.data_dir = "nowhere"
    config.data.num_bands, config.data.dtype, config.data.scaling = 5, "uint16", "manifest"
    config.train.class_weights_from = "data"
    step = create_abstract_step(config, create_mesh())
    image = step.arguments[1]["ss"]["image"]
    assert (image.shape, image.dtype) == ((8, 32, 32, 5), "uint16")
    step.step.lower(*step.arguments)
    assert config.data.band_ranges == ()


def test_a_batch_that_cannot_be_divided_is_refused(config):
    config.train.batch_size = 12
    with pytest.raises(UserError, match=r"batch of 12 .*8 devices"):
        create_abstract_step(config, create_mesh())
