"""How the scores of a study are put into one file."""

import json

import numpy as np
import pytest

from benchmarks.study_scores import of_study
from noise2map_jax.errors import UserError
from noise2map_jax.study.member_result import MemberResult, save


def a_study(folder, table="method,f1\nrecipe,50\n"):
    study = {"data": {"dataset": "d"}, "train": {"num_steps": 7}, "study": {"seeds": [0, 1]}}
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps(study))
    if table:
        (folder / "report").mkdir()
        (folder / "report" / "results.csv").write_text(table)
    return folder


def add(folder, name, counts, split="val"):
    one, other = np.array(counts, np.int64), np.zeros((2, 2), np.int64)
    none = np.zeros((0, 2, 2, 2), np.int64)
    result = MemberResult(5, np.stack([one, other]), np.zeros(0, np.int32), none, "[]")
    save(result, folder / "members" / name, split)


def test_each_member_and_the_tables_are_there(tmp_path):
    folder = a_study(tmp_path / "study")
    add(folder, "recipe,_no_light-0", [[5, 1], [1, 3]])
    add(folder, "recipe,_no_light-1", [[9, 0], [1, 0]])
    add(folder, "recipe,_no_light-1", [[9, 0], [0, 1]], split="test")
    found = of_study(folder)
    assert found["dataset"] == "d"
    assert found["tables"] == {"val": [{"method": "recipe", "f1": "50"}]}
    by_seed = found["members"]["recipe,_no_light"]
    assert by_seed["0"]["val"] == pytest.approx({"step": 5, "f1": 75, "iou": 60})
    assert by_seed["1"]["val"]["f1"] == 0
    assert by_seed["1"]["test"]["f1"] == pytest.approx(100)


def test_a_study_that_is_not_finished_is_refused(tmp_path):
    folder = a_study(tmp_path / "study", table="")
    add(folder, "recipe-0", [[5, 1], [1, 3]])
    with pytest.raises(UserError, match="is no finished study: run it to its end"):
        of_study(folder)
    with pytest.raises(UserError, match="is no finished study"):
        of_study(a_study(tmp_path / "empty"))
