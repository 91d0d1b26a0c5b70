"""Temperature and threshold of a run, chosen on validation, and how good probabilities are."""

import dataclasses
import math
from typing import Any

import numpy as np
from jax.sharding import Mesh

from noise2map_jax.evaluation.evaluator import MapEvaluation, MapEvaluator
from noise2map_jax.evaluation.probability_histogram import ProbabilityHistogram, Reliability
from noise2map_jax.evaluation.temperature import TemperatureFinder
from noise2map_jax.experiment.experiment import Objective
from noise2map_jax.progress import progress_bar
from noise2map_jax.steps.probability_counts import ProbabilityCounts

PLAIN = 1.0  # the temperature of the network's own probabilities
CHOSEN_ON = "val"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How good the probabilities of a split are at one temperature.

    Attributes:
        temperature: see `at_temperature`.
        brier: mean squared error of P(foreground) (Brier 1950); of two classes, half of the sum
            over both.
        log_loss: mean negative logarithm of the label's probability, natural logarithm.
        reliability: what share of the pixels is foreground, by their probability.
    """

    temperature: float
    brier: float
    log_loss: float
    reliability: Reliability

    def summary(self) -> dict[str, Any]:
        """Return the numbers, for a file of JSON."""
        found = self.reliability
        return {
            "temperature": self.temperature,
            "brier_score": self.brier,
            "log_loss": self.log_loss,
            "expected_calibration_error": found.error,
            "reliability": {
                "predicted": found.predicted.tolist(),
                "foreground": found.found.tolist(),
                "pixels": found.pixels.tolist(),
            },
        }


def calibration(temperature: float, counts: ProbabilityCounts) -> Calibration | None:
    """Sum up the counts of a split; None if it has no labelled pixel."""
    num_pixels = int(np.sum(counts.histogram))
    if not num_pixels:
        return None
    return Calibration(
        temperature,
        counts.squared_error / num_pixels,
        -counts.log_likelihood / num_pixels,
        ProbabilityHistogram(counts.histogram).reliability(),
    )


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is chosen on validation.

    Attributes:
        temperature: with which the labels are most likely.
        threshold: of P(foreground) at this temperature, with the best F1.
        f1: its F1.
        f1_at_half: F1 at the threshold 0.5.
        evaluation: the evaluation of validation that it was found with.
    """

    temperature: float
    threshold: float
    f1: float
    f1_at_half: float
    evaluation: MapEvaluation

    def f1_on(self, evaluation: MapEvaluation) -> float:
        """Return F1 on a split at this temperature and threshold; NaN if it has no foreground."""
        counts = evaluation.probabilities[self.temperature]
        return ProbabilityHistogram(counts.histogram).f1_at(self.threshold)

    def content(self) -> dict[str, Any]:
        """Return the numbers, for a file of JSON."""
        return {
            name: getattr(self, name) for name in ("threshold", "f1", "f1_at_half", "temperature")
        }

    def in_words(self) -> str:
        """Say what was found, in lines for people."""
        return (
            f"best threshold on validation: {self.threshold:.3f}, F1 {100 * self.f1:.2f} % (at 0.5:"
            f" {100 * self.f1_at_half:.2f} %); maps take it with --threshold=best\n"
            f"temperature from validation: {self.temperature:.3f}; maps take it, --temperature=1"
            " leaves probabilities as the network gives them"
        )


def choose(objective: Objective, mesh: Mesh, params: Any) -> Choice | None:
    """Choose temperature and threshold on validation.

    Args:
        objective: the task.
        mesh: the devices.
        params: the parameters, replicated on the mesh.

    Returns:
        None where validation has no foreground or does not exist, and for a task without classes.
    """
    if not objective.task.has_classes or CHOSEN_ON not in objective.dataset.splits:
        return None
    num_tiles, name = objective.dataset.num_records(CHOSEN_ON), objective.task.name
    with progress_bar(num_tiles, f"temperature {name} {CHOSEN_ON}", "tiles") as bar:
        find = TemperatureFinder(objective, mesh, CHOSEN_ON)
        temperature = find(params, objective.process, bar.update)
    evaluator = MapEvaluator(objective, mesh, CHOSEN_ON, (PLAIN, temperature))
    with progress_bar(num_tiles, f"threshold {name} {CHOSEN_ON}", "tiles") as bar:
        evaluation = evaluator(params, objective.process, bar.update)
    histogram = ProbabilityHistogram(evaluation.probabilities[temperature].histogram)
    threshold, f1 = histogram.best()
    if math.isnan(threshold):
        return None
    scores = histogram.f1()
    return Choice(temperature, threshold, f1, float(scores[len(scores) // 2]), evaluation)
