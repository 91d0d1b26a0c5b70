"""What is kept of a trained member of a study."""

import json

import numpy as np
import pytest

from noise2map_jax.study import member_result
from noise2map_jax.study.member_result import MemberResult


def test_what_is_saved_is_loaded(tmp_path):
    counts = np.arange(8, dtype=np.int64).reshape(2, 2, 2)
    result = MemberResult(7, counts, np.array([0, 9], np.int32), counts + 1, "test")
    assert member_result.load(tmp_path, "val") is None
    member_result.save(result, tmp_path, "val")
    loaded = member_result.load(tmp_path, "val")
    assert member_result.load(tmp_path, "test") is None
    assert (loaded.step, loaded.question) == (7, "test")
    np.testing.assert_array_equal(loaded.confusions, counts)
    np.testing.assert_array_equal(loaded.timesteps, [0, 9])
    np.testing.assert_array_equal(loaded.sweep, counts + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["result.npz"]


@pytest.mark.parametrize(
    ("step", "question", "expected"),
    [
        (5, ["test", [], "0a", {"num_noise_draws": 4}], True),
        (6, ["test", [], "0a", {"num_noise_draws": 4}], False),
        (5, ["test", [], "0b", {"num_noise_draws": 4}], False),  # data that was built anew
        (5, ["test", [], "0a", {"num_noise_draws": 16}], False),
        (5, ["test", [], "0a"], False),
    ],
)
def test_results_of_two_splits_are_of_the_same_networks_and_draws(step, question, expected):
    none = np.zeros((0, 2, 2), np.int64)
    asked = json.dumps(["val", [0, 999], "0a", {"num_noise_draws": 4}])
    before = MemberResult(5, none, none, none, asked)
    assert MemberResult(step, none, none, none, json.dumps(question)).is_as(before) == expected


def test_objects_are_not_unpickled(tmp_path):
    array = np.array([{}], dtype=object)
    np.savez(tmp_path / "result.npz", step=array, confusions=array, timesteps=array, sweep=array)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        member_result.load(tmp_path, "val")
