"""The words of a study's page about how its scores came about."""

import numpy as np

from noise2map_jax.page.curves import LearningCurve
from noise2map_jax.study.page import of_the_best


def a_curve(*f1):
    steps = np.arange(1, len(f1) + 1)
    return LearningCurve("paper", 0, steps, np.ones(len(f1)), steps, np.array(f1))


def test_a_choice_of_checkpoints_is_told_where_there_was_one():
    assert "best of up to 3 evaluations" in of_the_best([a_curve(0.1), a_curve(0.1, 0.2, 0.3)])
    assert of_the_best([a_curve(0.1), a_curve(0.2)]) == ""
    assert of_the_best([]) == ""
