"""The config of a study: written once, then compared."""

import json

import pytest
import study_config

from noise2map_jax.errors import UserError
from noise2map_jax.study.record import record


@pytest.fixture
def begun(tmp_path):
    """A study in a folder in which a member was begun; returns its config."""
    config = study_config.get_config()
    assert record(config, tmp_path) == {}
    member = tmp_path / "members" / "paper-0"
    member.mkdir(parents=True)
    (member / "config.json").write_text("{}")
    return config


def test_it_is_written_once(begun, tmp_path):
    before = (tmp_path / "study.json").read_bytes()
    assert json.loads(before)["study"]["seeds"] == [0, 1]
    assert record(begun, tmp_path) == {}
    begun.study.seeds = (0, 1, 2)
    begun.eval.num_pictures = 5
    changed = {"eval.num_pictures": (2, 5), "study.seeds": ([0, 1], [0, 1, 2])}
    assert record(begun, tmp_path) == changed
    assert record(begun, tmp_path) == {}  # compared with the last start, not with the first
    assert (tmp_path / "study.json").read_bytes() == before
    (line,) = (tmp_path / "study_history.jsonl").read_text().splitlines()
    assert json.loads(line) == json.loads(json.dumps({"changes": changed}))


def test_another_experiment_is_refused(begun, tmp_path):
    begun.train.learning_rate = 1.0
    with pytest.raises(UserError, match=r"train.learning_rate \(0.003, now 1.0\).*--workdir"):
        record(begun, tmp_path)


def test_before_anything_is_trained_it_may_be_any(tmp_path):
    config = study_config.get_config()
    record(config, tmp_path)
    config.train.learning_rate = 1.0
    assert record(config, tmp_path) == {}
    assert json.loads((tmp_path / "study.json").read_text())["train"]["learning_rate"] == 1.0


def test_a_damaged_file_is_named(begun, tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match=r"study.json or study_history.jsonl is damaged"):
        record(begun, tmp_path)
