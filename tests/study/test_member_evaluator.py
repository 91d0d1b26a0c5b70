"""What was evaluated of a member is kept, and asked anew where the question is another."""

import numpy as np
import pytest
import study_config

from noise2map_jax.evaluation.evaluator import MapEvaluation
from noise2map_jax.study import member_evaluator
from noise2map_jax.study.cohorts import note_trained
from noise2map_jax.study.member_evaluator import MemberEvaluator
from noise2map_jax.study.study import create_study


@pytest.mark.parametrize(("variant", "asked_again"), [("gaussian", True), ("paper", False)])
def test_another_number_of_draws_is_another_question_where_noise_is_drawn(
    variant, asked_again, thin_data, tmp_path, monkeypatch
):
    config = study_config.get_config()
    config.data.data_dir = str(thin_data)
    config.study.variants, config.study.seeds = ("paper", "gaussian"), (0,)
    monkeypatch.setattr(member_evaluator, "restore_best", lambda *arguments: (7, {}))
    calls = []

    def evaluate(num_noise_draws):
        config.eval.num_noise_draws = num_noise_draws
        study = create_study(config, tmp_path)
        (member,) = [m for m in study.members if m.variant.name == variant]
        note_trained(member, "")
        evaluator = MemberEvaluator(member, "val", 3)
        evaluator._sweep = lambda *arguments: np.zeros((3, 2, 2), np.int64)

        def count(params, process):
            calls.append(num_noise_draws)
            return MapEvaluation(0.0, np.ones((11, 2, 2), np.int64), ("a", "b"))

        evaluator._evaluate = count
        evaluator(member)

    for number in (2, 2, 3):
        evaluate(number)
    assert calls == ([2, 3] if asked_again else [2])
