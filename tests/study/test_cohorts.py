"""Which members are trained in one call: gone on with as begun, never mixed up."""

import pytest
import study_config

from noise2map_jax.study.cohorts import Cohort, failure_of, note_trained, plan_cohorts
from noise2map_jax.study.study import create_study


@pytest.fixture
def study(thin_data, tmp_path):
    return make_study(thin_data, tmp_path)


def make_study(thin_data, workdir, **options):
    config = study_config.get_config()
    config.data.data_dir = str(thin_data)
    config.study.update(options)
    return create_study(config, workdir)


def names(cohorts):
    return [[member.run.workdir.name for member in cohort.members] for cohort in cohorts]


def plan(study, kind="vmap", num_members=3):
    return plan_cohorts(study, study.groups[0], kind, num_members)


FIRST, REST = ["paper-0", "cosine-0", "paper-1"], ["cosine-1"]


def test_members_alone_are_runs_of_their_own(study):
    cohorts = plan(study, "dispatch", 1)
    assert names(cohorts) == [["paper-0"], ["cosine-0"], ["paper-1"], ["cosine-1"]]
    assert [c.folder for c in cohorts] == [c.members[0].run.workdir for c in cohorts]
    note_trained(cohorts[1].members[0], "")
    note_trained(cohorts[2].members[0], "it was NaN")
    assert names(plan(study, "dispatch", 1)) == [["paper-0"], ["cosine-1"]]
    assert [failure_of(m) for m in study.groups[0]] == [None, "", "it was NaN", None]


def test_what_was_begun_is_gone_on_with_as_it_was(study):
    first, rest = plan(study)
    assert names([first, rest]) == [FIRST, REST]
    assert {cohort.folder for cohort in plan(study)} == {first.folder, rest.folder}
    # A kill after the first of three was noted: the other two are found where they were.
    note_trained(first.members[0], "")
    assert {tuple(n) for n in names(plan(study))} == {tuple(FIRST), tuple(REST)}
    for member in first.members:
        note_trained(member, "")
    first.discard()
    assert not first.folder.exists()
    assert names(plan(study)) == [REST]


def test_what_is_new_does_not_train_the_old_again(study, thin_data, tmp_path):
    for cohort in plan(study):
        for member in cohort.members:
            note_trained(member, "")
        cohort.discard()
    more = make_study(thin_data, tmp_path, seeds=(0, 1, 2))
    assert names(plan(more)) == [["paper-2", "cosine-2"]]


@pytest.mark.parametrize(("kind", "num_members"), [("devices", 3), ("vmap", 2)])
def test_states_of_another_execution_are_not_restored(study, kind, num_members, capsys):
    old = {cohort.folder for cohort in plan(study)}
    new = plan(study, kind, num_members)
    assert not old & {cohort.folder for cohort in new}
    assert not any(folder.exists() for folder in old)
    assert "paper, seed 0, cosine, seed 0, paper, seed 1 start again" in capsys.readouterr().out


def test_states_of_other_values_are_not_restored(study, thin_data, tmp_path):
    old = {cohort.folder for cohort in plan(study)}
    other = make_study(thin_data, tmp_path, variants=("paper", "cosine: noise.schedule=sigmoid"))
    assert names(plan(other)) == [FIRST, REST]
    assert not old & {cohort.folder for cohort in plan(other)}


def test_what_changes_no_state_does_not_begin_again(study, thin_data, tmp_path):
    old = {cohort.folder for cohort in plan(study)}
    config = study_config.get_config()
    (tmp_path / "moved").symlink_to(thin_data)
    config.data.data_dir, config.eval.num_pictures = str(tmp_path / "moved"), 7
    assert {cohort.folder for cohort in plan(create_study(config, tmp_path))} == old
    config.train.num_steps = 40
    assert not old & {cohort.folder for cohort in plan(create_study(config, tmp_path))}


def test_states_of_variants_not_asked_for_are_left_alone(study, thin_data, tmp_path):
    old = {cohort.folder for cohort in plan(study)}
    fewer = make_study(thin_data, tmp_path, variants=("paper",))
    assert names(plan(fewer)) == [["paper-0", "paper-1"]]
    assert all(folder.exists() for folder in old)


def test_a_cohort_that_was_trained_but_not_removed_is_removed(study):
    first, _ = plan(study)
    for member in first.members:
        note_trained(member, "")
    assert names(plan(study)) == [REST]
    assert not first.folder.exists()


def test_discarding_keeps_a_single_run(study):
    member = study.groups[0][0]
    note_trained(member, "")
    Cohort((member,), member.run.workdir).discard()
    assert failure_of(member) == ""
