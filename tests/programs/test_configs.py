"""Every experiment that is shipped can be built, and does what its docstring says."""

import functools
import importlib
import pathlib

import jax
import numpy as np
import optax
import programs
import pytest
from problems import tiny_process

from noise2map_jax.experiment import shipped_configs
from noise2map_jax.experiment.components import (
    abstract_params,
    count_params,
    create_process,
    create_task,
    trained_sizes,
)
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.problem import Problem
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.method.augment import Augmentation
from noise2map_jax.steps.train_state import create_train_state
from noise2map_jax.steps.train_step import train_step

NAMES = shipped_configs.names()
ARGUMENTS = ("ss_buildings:quick", "cd_levir:quick")
PAPER = {  # images an update (batch x 2 accumulated), epochs, weight of the positive class
    "ss_spacenet7": (16, 200, 5),
    "cd_spacenet7": (16, 200, 3),
    "ss_whu": (16, 200, 10),
    "cd_whu": (16, 500, 1),
    "ss_xview2": (8, 200, 3),
    "cd_xview2": (4, 200, 3),
}


def load(given):
    name, *argument = given.split(":")
    module = importlib.import_module(f"configs.{name}")
    return module, module.get_config(*argument)


@functools.cache
def check_trace(problems, arrays, sizes):
    """Trace the step of some tasks; configs that differ in numbers alone have the same trace."""
    tx, key = optax.adam(1e-4), jax.random.key(0)
    params = abstract_params(problems[0].model, dict(sizes))
    state = jax.eval_shape(lambda p: create_train_state(p, tx, use_ema=False), params)
    batches = {
        task: {name: jax.ShapeDtypeStruct(shape, np.uint8) for name, *shape in shapes}
        for task, shapes in arrays
    }
    process = jax.eval_shape(tiny_process)
    by_task = {problem.task.name: problem for problem in problems}
    step = functools.partial(train_step, problems=by_task, tx=tx)
    new_state, metrics = jax.eval_shape(step, state, batches, dict.fromkeys(by_task, process), key)
    assert metrics["loss"].shape == ()
    assert jax.tree.structure(new_state) == jax.tree.structure(state)


# The layers of a block are alike: tracing one of them finds what tracing all of them does.
@pytest.mark.parametrize("layers", [1, pytest.param("all", marks=pytest.mark.long)])
@pytest.mark.parametrize("name", [*NAMES, *ARGUMENTS])
def test_the_training_step_of_every_config_can_be_traced(name, layers):
    module, config = load(name)
    name, colon, argument = name.partition(":")
    assert f"--config=configs/{name}.py{colon}{argument}" in module.__doc__
    if layers != "all":
        config.model.unet.layers_per_block = layers
    model, problems, arrays = create_model(config), [], []
    for view in task_configs(config).values():
        task, side = create_task(view), view.data.tile_size
        create_process(view)
        if task.has_classes:
            assert len(view.train.class_weights) == len(view.data.classes)
        weights = (1.0,) * len(view.data.classes) if task.has_classes else ()
        augmentation = Augmentation(**view.augment)
        problems.append(Problem(model, task, view.data.value_range, weights, augmentation))
        bands = dict.fromkeys(task.image_keys, view.data.num_bands) | {"mask": 1}
        shapes = tuple((key, 2, side, side, number) for key, number in bands.items())
        arrays.append((task.name, shapes))
        # Tracing the loop over parts would take as long again, and finds no more than this.
        assert view.train.batch_size % view.train.num_microbatches == 0
    check_trace(tuple(problems), tuple(arrays), tuple(trained_sizes(config).items()))


@pytest.mark.parametrize(
    ("name", "before"), [("ss_buildings", "drawn_ss"), ("cd_levir", "drawn_cd")]
)
def test_a_recipe_begins_with_all_parameters_of_drawn_scenes(name, before):
    _, config = load(name)
    _, drawn = load(before)
    assert (config.init_from, config.init_parts) == (f"shipped:{before}", "all")
    own, first = (abstract_params(create_model(c), trained_sizes(c)) for c in (config, drawn))
    assert jax.tree.map(np.shape, own) == jax.tree.map(np.shape, first)
    assert config.noise == drawn.noise


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_configs_hold_its_setting(name):
    _, config = load(name)
    rows, epochs, weight = PAPER[name]
    assert (config.train.batch_size, config.train.num_epochs) == (rows, epochs)
    assert config.train.class_weights == (1.0, float(weight))
    assert (config.train.learning_rate, config.train.optimizer) == (1e-4, "adam")
    assert config.model.sample_size == 256
    params = abstract_params(create_model(config), trained_sizes(config))
    assert count_params(params["unet"]) == 113_673_219
    process = create_process(config)
    assert process.inference_timesteps.tolist() == [process.num_train_timesteps - 1] == [999]
    assert (process.mix.image, process.mix.swap) == ((1, 0) if config.task == "ss" else (0, 1))


@pytest.mark.parametrize(
    ("name", "smaller"),
    [
        ("demo_ss", ("--config.model.unet.block_out_channels=8,",)),
        pytest.param("demo_ss", (), marks=pytest.mark.long),
        pytest.param("cd_levir", (), marks=pytest.mark.long),
    ],
)
def test_small_configs_train_for_some_steps(name, smaller, cache, tmp_path):
    _, config = load(name)
    size = config.data.tile_size
    programs.data_prep(
        "synthetic",
        f"--task={config.task}",
        f"--name={config.data.dataset}",
        f"--data_dir={tmp_path}",
        "--num_scenes=8,2,2",
        f"--scene_size={size}",
        f"--tile_size={size}",
    )
    options = (
        f"--config=configs/{name}.py",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.data_dir={tmp_path}",
        "--config.train.num_steps=2",
        "--config.train.warmup_steps=1",
        "--config.train.batch_size=2",
        "--config.eval.batch_size=2",
        "--config.train.write_report=False",
        *smaller,
    )
    programs.run(options, programs.environment(cache))
    done = programs.run((*options, "--mode=eval"), programs.environment(cache))
    assert "split test: 2 tiles" in done.stdout


def test_the_config_reference_names_every_config():
    page = (pathlib.Path(programs.ROOT) / "docs" / "config_reference.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in page] == []
