"""How scores of several runs of a recipe are summed up."""

import json

import pytest

from benchmarks.recipes import of_run, summary
from noise2map_jax.configs import ss_buildings
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import save_config


def a_run(folder, seed, f1, at_threshold, records="abc"):
    folder.mkdir()
    config = ss_buildings.get_config()
    config.seed = seed
    save_config(config, folder)
    (folder / "report").mkdir()
    found = {
        "step": 7,
        "protocol": "a split",
        "records": records,
        "scores": {"all tiles": {"f1/foreground": f1}, "rio": {"f1/foreground": f1 / 2}},
        "f1_at_threshold_of_validation": at_threshold,
        "calibration": [{"temperature": 1.0, "brier_score": 0.1, "reliability": {"pixels": [3]}}],
    }
    (folder / "report" / "scores_test.json").write_text(json.dumps(found))
    return of_run(folder, "test")


def test_runs_are_summed_up(tmp_path):
    rows = [a_run(tmp_path / str(s), s, f1, f1 + 0.1) for s, f1 in enumerate((0.5, 0.6, 0.7))]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert rows[0]["steps"] == ss_buildings.get_config().train.num_steps
    assert rows[0]["init_from"] == "shipped:drawn_ss"
    assert rows[0]["calibration"] == [{"temperature": 1.0, "brier_score": 0.1}]
    found = summary(rows)
    assert found["all tiles"] == pytest.approx(
        {"mean": 0.6, "standard_deviation": 0.1, "least": 0.5, "most": 0.7}
    )
    assert found["rio"]["mean"] == pytest.approx(0.3)
    assert found["at the threshold of validation"]["mean"] == pytest.approx(0.7)
    assert summary(rows[:1])["rio"]["standard_deviation"] is None


def test_what_is_not_defined_is_left_out(tmp_path):
    rows = [a_run(tmp_path / "0", 0, 0.5, None), a_run(tmp_path / "1", 1, 0.7, 0.7)]
    rows[0]["scores"]["rio"]["f1/foreground"] = None
    assert list(summary(rows)) == ["all tiles"]


def test_runs_on_other_records_are_refused(tmp_path):
    rows = [a_run(tmp_path / "0", 0, 0.5, 0.5), a_run(tmp_path / "1", 1, 0.5, 0.5, "abd")]
    with pytest.raises(UserError, match=r"the runs differ in records: abc \| abd"):
        summary(rows)


def test_a_run_without_scores_is_named(tmp_path):
    with pytest.raises(UserError, match=r"scores_val.json is not there: evaluate the run first"):
        of_run(tmp_path, "val")
