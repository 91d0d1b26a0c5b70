"""How the scores of a study are put into one file."""

import argparse
import json

import numpy as np
import pytest
import thin_config

from benchmarks.study_scores import of_study, run
from configs import default
from noise2map_jax.errors import UserError
from noise2map_jax.study.member_result import MemberResult, save
from noise2map_jax.study.record import record
from noise2map_jax.study.result_rows import STUDY_TABLES

VARIANTS = ("recipe: noise.kind=structured", "recipe, no light: augment.contrast=0.0")


def begin(folder, seeds):
    config = default.study(thin_config.get_config(), VARIANTS, reference="recipe")
    config.study.seeds = seeds
    record(config, folder)


def add(folder, name, correct, split="val", step=5):
    """Write the result of a member that finds `correct` of the 10 pixels, and no others."""
    one = np.array([[80, 0], [10 - correct, correct]], np.int64)
    other, none = np.zeros((2, 2), np.int64), np.zeros((0, 2, 2, 2), np.int64)
    result = MemberResult(step, np.stack([one, other]), np.zeros(0, np.int32), none, "[]")
    save(result, folder / "members" / name, split)


def finished(folder, seeds):
    begin(folder, seeds)
    for seed in seeds:
        add(folder, f"recipe-{seed}", 5 + seed)
        add(folder, f"recipe,_no_light-{seed}", 3 + 2 * seed)
    (folder / "report").mkdir(exist_ok=True)
    (folder / STUDY_TABLES["val"]).write_text("method,f1\nrecipe,50\n")
    return folder


def f1(correct):
    return 100 * 2 * correct / (10 + correct)


def test_each_member_and_the_tables_are_there(tmp_path):
    folder = finished(tmp_path, (0, 1, 2))
    add(folder, "recipe,_no_light-1", 10, split="test")
    found = of_study(folder)
    assert found["dataset"] == thin_config.get_config().data.dataset
    assert found["tables"] == {"val": [{"method": "recipe", "f1": "50"}]}
    no_light = found["members"]["recipe, no light"]
    assert no_light[0]["val"] == pytest.approx({"step": 5, "f1": f1(3), "iou": 30})
    assert no_light[1]["test"]["f1"] == pytest.approx(100)
    # Differences by hand; 4.3027 is the 97.5 % quantile of t with 2 degrees of freedom.
    differences = [f1(3 + 2 * seed) - f1(5 + seed) for seed in range(3)]
    half = 4.3027 * np.std(differences, ddof=1) / np.sqrt(3)
    row = found["over_seeds"]["recipe, no light"]
    assert row["f1"] == pytest.approx(np.mean([f1(3), f1(5), f1(7)]))
    assert row["difference"] == pytest.approx(np.mean(differences))
    assert row["interval"] == pytest.approx(
        [row["difference"] - half, row["difference"] + half], abs=1e-3
    )
    assert found["over_seeds"]["recipe"] == pytest.approx({"f1": np.mean([f1(5), f1(6), f1(7)])})


def test_a_study_that_grew_has_all_its_seeds(tmp_path):
    add(tmp_path, "recipe-0", 5)
    begin(tmp_path, (0,))
    (tmp_path / "members" / "recipe-0" / "config.json").write_text("{}")
    found = of_study(finished(tmp_path, (0, 1)))
    assert found["study"]["seeds"] == (0, 1)
    assert set(found["members"]["recipe"]) == {0, 1}


def test_one_seed_has_no_interval(tmp_path):
    row = of_study(finished(tmp_path, (0,)))["over_seeds"]["recipe, no light"]
    assert row["interval"] is None


def test_a_study_that_is_not_finished_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is no study: it has no study\.json"):
        of_study(tmp_path)
    begin(tmp_path, (0, 1))
    with pytest.raises(UserError, match="recipe-0 has no result yet"):
        of_study(tmp_path)
    folder = finished(tmp_path, (0, 1))
    (folder / STUDY_TABLES["val"]).unlink()
    with pytest.raises(UserError, match="is no finished study"):
        of_study(folder)


def test_the_command_is_kept(tmp_path, capsys):
    arguments = {"workdir": str(finished(tmp_path / "s", (0, 1))), "command": "main --mode=ablate"}
    run(argparse.Namespace(**arguments, output=str(tmp_path / "out.json")))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["command"] == "main --mode=ablate"
    assert {"summed_up_on", "members", "over_seeds", "tables"} < set(found)
