"""Scores at other timesteps: each the same as of a prediction at that timestep alone."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import thin_config
from problems import ONE_DRAW, drawn_params, tiny_problem, tiny_process, tiny_tiles

from noise2map_jax.devices.sharding import create_mesh, replicate
from noise2map_jax.evaluation import sweep
from noise2map_jax.evaluation.evaluator import MapEvaluator
from noise2map_jax.evaluation.sweep import TimestepSweep, sweep_step, timestep_grid
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.steps.eval_step import eval_step


@pytest.mark.parametrize("task", ["ss", "cd"])
def test_each_timestep_counts_as_a_prediction_there(task):
    problem, timesteps = tiny_problem(task), (0, 258, 999)
    params = drawn_params(problem.model)
    batch = tiny_tiles(task) | {"valid": np.arange(8) < 6}
    # Trained for another timestep than those that are asked for.
    process = tiny_process(task, inference_timesteps=(700,))
    swept = jax.jit(functools.partial(sweep_step, problem=problem))(
        params, batch, process, ONE_DRAW, jnp.array(timesteps)
    )
    one = jax.jit(functools.partial(eval_step, problem=problem))
    for i, timestep in enumerate(timesteps):
        there = tiny_process(task, inference_timesteps=(timestep,))
        expected = one(params, batch, there, ONE_DRAW)["confusion"].sum(axis=0)
        np.testing.assert_array_equal(swept[i], expected)
    assert np.any(swept[0] != swept[1])
    assert swept[0].sum() == (batch["mask"][:6] != 255).sum()


def test_several_inference_timesteps_are_no_part_of_the_sweep():
    problem = tiny_problem()
    arguments = drawn_params(problem.model), tiny_tiles()
    step = jax.jit(functools.partial(sweep_step, problem=problem))
    one, several = (
        step(*arguments, tiny_process(inference_timesteps=steps), ONE_DRAW, jnp.array([5, 10]))
        for steps in ((3,), (1, 2, 3))
    )
    np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize(
    ("number", "grid"), [(0, []), (1, [0]), (2, [0, 999]), (5, [0, 250, 500, 749, 999])]
)
def test_the_grid_goes_from_the_first_to_the_last(number, grid):
    np.testing.assert_array_equal(timestep_grid(tiny_process(), number), grid)


@pytest.fixture(scope="module")
def evaluated(thin_data):
    """An experiment, parameters, and how they count on validation."""
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    params = replicate(drawn_params(experiment.model, 32), experiment.mesh)
    return (
        experiment,
        params,
        MapEvaluator(objective, experiment.mesh, "val")(params, objective.process),
    )


@pytest.mark.parametrize("number", [0, 3, 16, pytest.param(20, marks=pytest.mark.long)])
def test_the_sweep_of_a_split_counts_every_record_at_every_timestep(number, evaluated):
    experiment, params, one = evaluated
    (objective,) = experiment.objectives.values()
    grid = timestep_grid(objective.process, number)
    sweep = TimestepSweep(objective, experiment.mesh, "val")
    counts = sweep(params, objective.process, grid)
    assert counts.shape == (number, 2, 2)
    assert (counts.sum(axis=(1, 2)) == sum(objective.dataset.class_pixels("val"))).all()
    if number:  # the last of the grid is the timestep of prediction
        np.testing.assert_array_equal(counts[-1], one.confusions.sum(axis=0))


def test_the_grid_has_no_timestep_twice():
    np.testing.assert_array_equal(timestep_grid(tiny_process(), 5000), np.arange(1000))


@pytest.mark.parametrize(
    ("gaussian", "num_draws", "number", "sizes"),
    [
        (0.0, 3, 6, [4]),  # without Gaussian noise one draw tells all: four timesteps a call
        (0.0, 3, 3, [3]),
        (0.0, 3, 0, []),
        (1.0, 2, 5, [2]),
        (1.0, 9, 3, [1]),
    ],
)
def test_a_grid_is_counted_in_calls_of_one_size(monkeypatch, gaussian, num_draws, number, sizes):
    compiled = []

    def step(params, batch, process, draws, timesteps, *, problem):
        assert problem is objective.problem
        assert len(draws) == (num_draws if gaussian else 1)
        compiled.append(len(timesteps))
        here = params["factor"] * timesteps[:, None, None] + batch["pixels"].sum()
        return here * jnp.array([[1, 2], [3, 4]])[None]

    def reader(*arguments):
        assert arguments == (objective, mesh, "val")
        batches = [{"pixels": np.arange(8) + offset} for offset in (0, 2**24)]
        return types.SimpleNamespace(batches=lambda: iter(batches))

    monkeypatch.setattr(sweep, "MOST_PREDICTIONS", 4)
    monkeypatch.setattr(sweep, "sweep_step", step)
    monkeypatch.setattr(sweep, "SplitReader", reader)
    mesh = create_mesh()
    config = types.SimpleNamespace(eval=types.SimpleNamespace(num_noise_draws=num_draws))
    objective = types.SimpleNamespace(config=config, problem=tiny_problem())
    timesteps = np.arange(number, dtype=np.int32) * 10
    counts = TimestepSweep(objective, mesh, "val")(
        {"factor": np.int32(5)}, tiny_process(gaussian=gaussian), timesteps
    )
    assert counts.dtype == np.int64
    assert compiled == sizes
    both = 2 * 5 * timesteps.astype(np.int64) + 2 * 28 + 8 * 2**24
    np.testing.assert_array_equal(counts, both[:, None, None] * np.array([[1, 2], [3, 4]]))
