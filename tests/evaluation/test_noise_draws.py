"""Predictions through Gaussian noise: the mean over draws, each by the place of the pixel."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import thin_config
from problems import ONE_DRAW, drawn_params, tiny_problem, tiny_process, tiny_tiles
from programs import FUSED

from noise2map_jax.devices.sharding import replicate
from noise2map_jax.errors import UserError
from noise2map_jax.evaluate import format_scores
from noise2map_jax.evaluation.evaluator import MapEvaluator
from noise2map_jax.evaluation.predictions import RecordPredictor
from noise2map_jax.evaluation.sweep import TimestepSweep
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.method.metrics import confusion_matrices
from noise2map_jax.method.noise import clean_noise_process, noise_draws
from noise2map_jax.steps.eval_step import predict_step

GAUSSIAN = {"image": 0.0, "swap": 0.0, "gaussian": 1.0}


@functools.cache
def predictor(task="ss", step=predict_step, **compiler_options):
    problem = tiny_problem(task)
    step = jax.jit(functools.partial(step, problem=problem), compiler_options=compiler_options)
    return functools.partial(step, drawn_params(problem.model))


@pytest.mark.parametrize("timesteps", [(500,), (300, 700)])
def test_a_prediction_is_the_mean_over_draws_and_timesteps(timesteps):
    predict, batch = predictor(), tiny_tiles(num=2)
    alone = [
        predict(batch, tiny_process(**GAUSSIAN, inference_timesteps=(t,)), np.array([draw]))
        for draw in (0, 1, 5)
        for t in timesteps
    ]
    alone = np.stack([prediction.probabilities for prediction in alone])
    assert np.abs(alone - alone[0]).max() > 1e-3  # draws differ
    process = tiny_process(**GAUSSIAN, inference_timesteps=timesteps)
    found = predict(batch, process, np.array([0, 1, 5], np.int32))
    np.testing.assert_allclose(found.probabilities, alone.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.uncertainty, alone[..., 0].std(axis=0), atol=1e-5)


@pytest.mark.parametrize("moved", ["scene", "row", "column"])
def test_noise_is_that_of_the_place_and_of_nothing_else(moved):
    predict, batch = predictor(), tiny_tiles(num=4)
    process = tiny_process(**GAUSSIAN)
    before = np.asarray(predict(batch, process, ONE_DRAW).probabilities)
    backwards = {key: value[::-1] for key, value in batch.items()}
    np.testing.assert_array_equal(predict(backwards, process, ONE_DRAW).probabilities, before[::-1])
    there = batch | {moved: batch[moved] + np.array([0, 0, 0, 16], batch[moved].dtype)}
    after = np.asarray(predict(there, process, ONE_DRAW).probabilities)
    np.testing.assert_array_equal(after[:3], before[:3])
    assert np.abs(after[3] - before[3]).max() > 1e-3


def without_draws(params, batch, process, *, problem):
    """The probabilities of a process that draws nothing, by their definition."""
    batch = problem.scaled(batch)
    x, steps = problem.task.inputs(batch), process.inference_timesteps
    timesteps, repeated = jnp.tile(steps, x.shape[0]), jnp.repeat(x, steps.shape[0], axis=0)
    x_t = problem.noised(process, repeated, jnp.zeros_like(repeated), timesteps).x_t
    log_probs = jax.nn.log_softmax(problem.apply(process, params, x_t, timesteps), axis=-1)
    log_probs = log_probs.reshape(x.shape[0], steps.shape[0], *log_probs.shape[1:])
    mean = jax.nn.logsumexp(log_probs, axis=1) - jnp.log(jnp.float32(steps.shape[0]))
    return jnp.exp(mean)


@pytest.mark.parametrize("task", ["ss", "cd"])
@pytest.mark.parametrize("kind", ["structured", "several timesteps", "clean"])
def test_without_gaussian_noise_nothing_changes_by_one_bit(task, kind):
    batch = tiny_tiles(task)
    process = {
        "structured": tiny_process(task),
        "several timesteps": tiny_process(task, inference_timesteps=(1, 700)),
        "clean": clean_noise_process(1000),
    }[kind]
    draws = noise_draws(process, 4)
    assert draws.tolist() == [0]  # to draw more would take time and give the same
    plain = predictor(task, without_draws, **FUSED)(batch, process)
    elsewhere = batch | {"row": batch["row"] + 5, "scene": batch["scene"] + np.uint32(9)}
    found = predictor(task, **FUSED)(elsewhere, process, draws)
    np.testing.assert_array_equal(found.probabilities, plain)


def test_where_there_is_gaussian_noise_it_is_drawn_as_often_as_asked():
    assert noise_draws(tiny_process(**GAUSSIAN), 5).tolist() == [0, 1, 2, 3, 4]
    assert noise_draws(tiny_process(gaussian=0.1), 2).tolist() == [0, 1]


def test_scores_sweep_and_pictures_are_of_the_same_draws(thin_data):
    config = thin_config.get_config()
    config.data.data_dir, config.noise.mix = str(thin_data), "gaussian"
    config.noise.inference_timesteps = (400,)
    config.eval.num_noise_draws = 3
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    assert objective.num_noise_draws == 3
    params = replicate(drawn_params(experiment.model, 32), experiment.mesh)
    found = MapEvaluator(objective, experiment.mesh, "val")(params, objective.process)
    swept = TimestepSweep(objective, experiment.mesh, "val")
    counts = swept(params, objective.process, np.arange(100, 900, 100, dtype=np.int32))
    np.testing.assert_array_equal(counts[3], found.confusions.sum(axis=0))
    rows = RecordPredictor(objective, "val")(params, objective.process, range(11))
    shown = confusion_matrices(
        np.stack([row.probabilities.argmax(axis=-1) for row in rows]),
        np.stack([row.mask for row in rows]),
        2,
    )
    np.testing.assert_array_equal(shown, found.confusions)

    config.eval.num_noise_draws = 1
    (single,) = create_experiment(config).objectives.values()
    once = MapEvaluator(single, experiment.mesh, "val")(params, single.process)
    assert np.any(once.confusions != found.confusions)


def test_no_draw_at_all_is_refused():
    config = thin_config.get_config()
    config.eval.num_noise_draws = 0
    with pytest.raises(UserError, match=r"eval\.num_noise_draws is 0; expected 1 or more"):
        create_experiment(config)


def test_scores_say_how_many_draws_they_are_of():
    result = {"protocol": "toy", "step": 7, "inference_timesteps": [999], "num_noise_draws": 3}
    result |= {"differs_from_training": [], "scores": {}}
    assert "t = 999, mean over 3 draws of Gaussian noise" in format_scores(result, ())
    result["num_noise_draws"] = 0
    assert format_scores(result, ()).endswith("predicted at t = 999")
    assert format_scores(result, (), noised=False).endswith("checkpoint of step 7")
