"""Temperature and threshold from validation, and calibration of a split, of a small run."""

import jax
import numpy as np
import pytest
import thin_config
from problems import drawn_params

from noise2map_jax.devices.sharding import replicate
from noise2map_jax.evaluation.calibration import PLAIN, calibration, choose
from noise2map_jax.evaluation.evaluator import MapEvaluator
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.steps.probability_counts import NUM_BINS, ProbabilityCounts


@pytest.fixture(scope="module")
def evaluated(thin_data):
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    experiment = create_experiment(config)
    (objective,) = experiment.objectives.values()
    params = replicate(jax.device_get(drawn_params(experiment.model)), experiment.mesh)
    return objective, experiment.mesh, params


def test_the_choice_is_no_worse_on_validation(evaluated):
    found = choose(*evaluated)
    plain, chosen = (calibration(*item) for item in found.evaluation.probabilities.items())
    assert (plain.temperature, chosen.temperature) == (PLAIN, found.temperature)
    assert found.temperature != PLAIN
    assert chosen.log_loss < plain.log_loss
    assert found.f1 >= found.f1_at_half
    assert found.f1_on(found.evaluation) == found.f1


def test_the_choice_is_applied_to_another_split(evaluated):
    objective, mesh, params = evaluated
    found = choose(*evaluated)
    counted = MapEvaluator(objective, mesh, "test", (PLAIN, found.temperature))
    evaluation = counted(params, objective.process)
    background, foreground = evaluation.probabilities[found.temperature].histogram
    k = round(found.threshold * NUM_BINS)
    hits, false, missed = foreground[k:].sum(), background[k:].sum(), foreground[:k].sum()
    np.testing.assert_allclose(found.f1_on(evaluation), 2 * hits / (2 * hits + false + missed))


def test_a_temperature_asked_for_twice_is_counted_once(evaluated):
    """The best temperature may be that of the network."""
    objective, mesh, params = evaluated
    evaluator = MapEvaluator(objective, mesh, "val", (PLAIN, PLAIN))
    found = evaluator(params, objective.process).probabilities
    assert list(found) == [PLAIN]
    assert (
        found[PLAIN].histogram.sum()
        == MapEvaluator(objective, mesh, "val")(params, objective.process).confusions.sum()
    )


def test_a_split_without_labels_has_no_calibration():
    assert calibration(PLAIN, ProbabilityCounts(np.zeros((2, NUM_BINS), int), 0.0, 0.0)) is None
