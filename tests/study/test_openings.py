"""What is kept, and said, of opening the test split."""

import json
import types

import numpy as np
import pytest
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.study import member_result, openings
from noise2map_jax.study.member_result import MemberResult


@pytest.fixture
def study(tmp_path):
    """As much of a study as is asked here: three members that were evaluated on validation."""
    members = []
    for seed in range(3):
        config = ConfigDict(
            {"seed": seed, "noise": {"kind": "structured"}, "eval": {"split": "val"}}
        )
        run = types.SimpleNamespace(
            workdir=tmp_path / "members" / f"paper-{seed}",
            experiment=types.SimpleNamespace(config=config),
        )
        member = types.SimpleNamespace(name=f"paper, seed {seed}", run=run)
        members.append(member)
        evaluate(member, seed)
    return types.SimpleNamespace(members=members, workdir=tmp_path)


def evaluate(member, count, split="val", step=7):
    counts = np.full((4, 2, 2), count, np.int64)
    question = json.dumps([split, [], "data"])
    result = MemberResult(step, counts, np.zeros(0, np.int32), counts[:0], question)
    member_result.save(result, member.run.workdir, "val")


def test_before_it_is_opened_the_page_says_so(study):
    assert openings.load(study.workdir) == []
    assert openings.describe(study).startswith("The test split has not been opened")


def test_once_is_once_for_the_same_networks(study):
    openings.note(study)
    openings.note(study)
    (only,) = openings.load(study.workdir)
    assert only.num_members == 3
    assert openings.describe(study) == (
        f"The test split was opened once: on {only.date} for 3 members, by --mode=final. "
        "The members have not changed since."
    )


def test_what_is_trained_after_it_was_opened_may_owe_to_it(study):
    openings.note(study)
    evaluate(study.members[0], 99)  # a pixel that another device rounds otherwise
    assert openings.describe(study).endswith("The members have not changed since.")
    study.members[1].run.experiment.config.eval.split = "test"
    assert openings.describe(study).endswith("The members have not changed since.")
    evaluate(study.members[0], 0, step=9)  # another network of the same name
    said = openings.describe(study)
    assert "opened once: " in said
    assert said.endswith("Choices and additions after the first time may depend on test scores.")
    openings.note(study)
    assert len(openings.load(study.workdir)) == 2
    said = openings.describe(study)
    assert "opened 2 times: on " in said
    assert "may depend on test scores" in said


def test_an_earlier_version_that_compared_on_test_opened_it(study):
    openings.note_earlier_version(study)
    assert openings.load(study.workdir) == []
    for seed, member in enumerate(study.members):
        evaluate(member, seed, split="test")
    openings.note_earlier_version(study)
    openings.note_earlier_version(study)
    (only,) = openings.load(study.workdir)
    assert (only.by, only.num_members) == (openings.EARLIER_VERSION, 3)
    assert "may depend on test scores" in openings.describe(study)


def test_the_record_is_whole_and_nothing_else_is_left(study):
    openings.note(study)
    (path,) = (p for p in study.workdir.iterdir() if p.is_file())
    assert path.name == "test_openings.json"
    (entry,) = json.loads(path.read_text())
    assert set(entry) == {"date", "members", "num_members", "by"}


def test_a_member_that_is_evaluated_by_itself_opens_test_too(study, tmp_path):
    openings.note_member(study.members[0].run.workdir)
    assert openings.load(study.workdir) == []  # nothing says that it is of a study
    (study.workdir / "study.json").write_text("{}")
    for _ in range(2):
        openings.note_member(study.members[0].run.workdir)
    (only,) = openings.load(study.workdir)
    assert (only.num_members, only.by) == (1, "--mode=eval of paper-0")
    said = openings.describe(study)
    assert said.endswith("Choices and additions after the first time may depend on test scores.")
    openings.note_member(tmp_path)  # a run of its own


@pytest.mark.parametrize("text", ["{", "[1]", '[{"day": "today"}]'])
def test_a_damaged_record_is_named(study, text):
    (study.workdir / openings.FILE).write_text(text)
    with pytest.raises(UserError, match=r"test_openings.json is damaged .* restore the file"):
        openings.load(study.workdir)
