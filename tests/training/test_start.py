"""Where training of several networks starts: each with its own weights, and its own share."""

import jax
import numpy as np
import pytest
import study_config
from flax import traverse_util

from noise2map_jax.devices.execution import create_execution
from noise2map_jax.experiment.run import open_run
from noise2map_jax.study.study import create_study
from noise2map_jax.training.trainer import Trainer

SHARE = 0.4


def flat(tree):
    leaves = traverse_util.flatten_dict(jax.device_get(tree), sep="/")
    return {name: np.asarray(value) for name, value in leaves.items()}


def runs_of(workdir, thin_data, variants=(), **train):
    config = study_config.get_config()
    config.data.data_dir = str(thin_data)
    config.study.seeds = (0,)
    config.train.num_steps = config.train.eval_every_steps = 2
    config.train.update(train)
    if variants:
        config.study.variants = tuple(variants)
        config.study.reference = variants[0].partition(":")[0]
    return [member.run for member in create_study(config, workdir).members]


def train(runs, workdir, execution):
    trainer = Trainer(runs[0].experiment, create_execution(execution, len(runs)))
    trainer.train(runs, workdir, trainer.start(runs, workdir))
    return trainer.start(runs, workdir).state


@pytest.mark.parametrize("execution", ["vmap", "devices"])
def test_networks_that_train_together_keep_shares_of_their_own_starts(
    thin_data, tmp_path, execution
):
    (source, *_) = runs_of(tmp_path / "source", thin_data)
    train([source], source.workdir, "dispatch")
    origin = flat(open_run(source.workdir)[3])
    variants = (
        "random: init_from=",
        f"backbone: init_from={source.workdir} init_parts=backbone",
        f"all: init_from={source.workdir} init_parts=all",
    )
    runs = runs_of(tmp_path / "study", thin_data, variants, initial_share=SHARE, ema_decay=0.5)
    state = train(runs, tmp_path / "together", execution)
    averages = flat(state.ema_params)
    num_mixed = []
    for i, run in enumerate(runs):
        parts = {"random": (), "backbone": ("unet/",), "all": ("",)}[run.workdir.name[:-2]]
        kept = flat(open_run(run.workdir)[3])
        for name, value in kept.items():
            share = SHARE if name.startswith(parts) else 0.0
            expected = share * origin[name] + (1 - share) * averages[name][i]
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6, err_msg=name)
        far = [not np.allclose(kept[name], averages[name][i], rtol=1e-3) for name in kept]
        num_mixed.append(sum(far))
    assert num_mixed[0] == 0 < num_mixed[1] < num_mixed[2]
