"""Several networks trained at once: one that fails does not take the others with it."""

import jax
import jax.numpy as jnp
import pytest
import study_config
from programs import metrics

from noise2map_jax.execution import create_execution
from noise2map_jax.study import create_study
from noise2map_jax.trainer import Trainer


@pytest.fixture
def runs(thin_data, tmp_path):
    config = study_config.get_config()
    config.data.data_dir = str(thin_data)
    config.train.num_steps = 3
    config.train.eval_every_steps = 2
    return [member.run for member in create_study(config, tmp_path).members[:2]]


def test_networks_that_fail_are_told_from_those_that_do_not(runs, tmp_path):
    trainer = Trainer(runs[0].experiment, create_execution("devices", 2))
    start = trainer.start(runs, tmp_path / "together")
    poisoned = jax.tree.map(
        lambda leaf: leaf.at[0].set(jnp.nan) if leaf.dtype == jnp.float32 else leaf,
        start.state.params,
    )
    start = start.__class__(start.state.replace(params=poisoned), 0, start.origins)
    failures = trainer.train(runs, tmp_path / "together", start)
    assert "loss nan" in failures[0]
    assert failures[1] == ""
    assert list(metrics(runs[1].workdir)) == [1, 2, 3]
    assert list(metrics(runs[1].workdir, "val/f1/foreground")) == [2, 3]
    assert not (runs[0].workdir / "metrics.jsonl").read_text()
    assert list((runs[1].workdir / "checkpoints" / "best").glob("[0-9]*"))


def test_where_all_fail_training_ends(runs, tmp_path):
    trainer = Trainer(runs[0].experiment, create_execution("devices", 2))
    start = trainer.start(runs, tmp_path / "together")
    poisoned = jax.tree.map(lambda leaf: leaf * jnp.nan, start.state.params)
    start = start.__class__(start.state.replace(params=poisoned), 0, start.origins)
    with pytest.raises(FloatingPointError, match=r"step 1: .*loss nan"):
        trainer.train(runs, tmp_path / "together", start)
