"""How arms of the transfer benchmark are compared."""

import numpy as np

from benchmarks.transfer import differences

# Hours of sleep gained with two drugs (Student 1908, Biometrika 6); R's t.test of the pairs gives
# the 95 % limits 0.7001142 and 2.4598858.
FIRST = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
SECOND = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)


def runs(arm, task, values):
    return [{"arm": arm, "seed": i, "f1": {task: v}} for i, v in enumerate(values)]


def test_arms_are_compared_by_pairs_of_a_seed():
    found = differences([*runs("ss random", "ss", FIRST), *runs("ss pretrained", "ss", SECOND)])
    (only,) = found
    assert only["name"] == "ss pretrained less ss random: ss"
    assert only["seeds"] == 10
    np.testing.assert_allclose(only["mean"], 1.58)
    np.testing.assert_allclose(only["interval_over_seeds"], (0.7001142, 2.4598858), rtol=1e-6)


def test_intervals_of_several_comparisons_are_wider():
    one = [*runs("ss random", "ss", FIRST), *runs("ss pretrained", "ss", SECOND)]
    both = [{**r, "arm": "both random"} for r in runs("both random", "ss", SECOND)]
    found = differences(one + both)
    assert [d["name"].partition(" less")[0] for d in found] == ["ss pretrained", "both random"]
    assert np.ptp(found[0]["interval_over_seeds"]) > np.ptp(
        differences(one)[0]["interval_over_seeds"]
    )


def test_a_single_seed_has_no_interval_and_others_are_left_out():
    found = differences([*runs("cd random", "cd", FIRST), *runs("cd pretrained", "cd", SECOND[:1])])
    assert [(d["seeds"], d["interval_over_seeds"]) for d in found] == [(1, None)]
