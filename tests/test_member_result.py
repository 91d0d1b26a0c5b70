"""What is kept of a trained member of a study."""

import numpy as np
import pytest

from noise2map_jax import member_result
from noise2map_jax.member_result import MemberResult


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


def test_objects_are_not_unpickled(tmp_path):
    array = np.array([{}], dtype=object)
    np.savez(tmp_path / "result.npz", step=array, confusions=array, timesteps=array, sweep=array)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        member_result.load(tmp_path, "val")
