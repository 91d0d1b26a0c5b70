"""Several networks trained at once: one that fails does not take the others with it."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
import study_config
from programs import metrics

from noise2map_jax.devices.execution import create_execution
from noise2map_jax.study.study import create_study
from noise2map_jax.training.trainer import Trainer


def runs_in(folder, thin_data):
    config = study_config.get_config()
    config.data.data_dir = str(thin_data)
    config.train.num_steps = 3
    config.train.eval_every_steps = 2
    return [member.run for member in create_study(config, folder).members[:2]]


@pytest.fixture
def runs(thin_data, tmp_path):
    return runs_in(tmp_path, thin_data)


@pytest.fixture(scope="module")
def trainer(thin_data, tmp_path_factory):
    """One trainer for the runs of all tests: its steps are compiled once."""
    (run, _) = runs_in(tmp_path_factory.mktemp("study"), thin_data)
    return Trainer(run.experiment, create_execution("devices", 2))


def poisoned(start, which):
    """The start with parameters of some networks that are not finite."""
    params = jax.tree.map(
        lambda leaf: leaf.at[which].set(jnp.nan) if leaf.dtype == jnp.float32 else leaf,
        start.state.params,
    )
    return dataclasses.replace(start, state=start.state.replace(params=params))


def test_networks_that_fail_are_told_from_those_that_do_not(trainer, runs, tmp_path):
    folder, noted = tmp_path / "together", []

    def note(number, failure):
        # Noted before anything is saved: a kill in between cannot hide it.
        assert not list((folder / "checkpoints" / "latest").glob("[0-9]*"))
        noted.append((number, failure))

    start = poisoned(trainer.start(runs, folder), 0)
    failures = trainer.train(runs, folder, start, note_failure=note)
    assert noted == [(0, failures[0])]
    assert "step 1: " in failures[0]
    assert "loss nan" in failures[0]
    assert failures[1] == ""
    assert list(metrics(runs[1].workdir)) == [1, 2, 3]
    assert list(metrics(runs[1].workdir, "val/f1/foreground")) == [2, 3]
    assert not (runs[0].workdir / "metrics.jsonl").read_text()
    assert list((runs[1].workdir / "checkpoints" / "best").glob("[0-9]*"))
    assert not list((runs[0].workdir / "checkpoints" / "best").glob("[0-9]*"))


def test_a_network_that_failed_before_is_not_trained_again(trainer, runs, tmp_path):
    start = trainer.start(runs, tmp_path / "together")
    failures = trainer.train(runs, tmp_path / "together", start, failures=["it was NaN", ""])
    assert failures == ["it was NaN", ""]
    assert not (runs[0].workdir / "metrics.jsonl").read_text()
    assert list(metrics(runs[1].workdir)) == [1, 2, 3]


def test_where_all_fail_training_ends_and_nothing_is_saved(trainer, runs, tmp_path):
    start = poisoned(trainer.start(runs, tmp_path / "together"), slice(None))
    failures = trainer.train(runs, tmp_path / "together", start)
    assert all("loss nan" in failure for failure in failures)
    assert not list((tmp_path / "together" / "checkpoints" / "latest").glob("[0-9]*"))
