"""Two tasks over one backbone, by the command line."""

import json

import multitask_config
import numpy as np
import programs
import pytest
from flax import traverse_util
from PIL import Image

from noise2map_jax.devices import sharding
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.experiment.run_config import load_config

CONFIG = "--config=tests/helpers/multitask_config.py"


@pytest.fixture(scope="module")
def train(thin_data, cache, tmp_path_factory):
    """Train in a folder of its own: `train(*options) -> workdir, what was printed`."""

    def call(*options, config=CONFIG):
        workdir = tmp_path_factory.mktemp("multitask") / "run"
        done = run(workdir, *options, config=config)
        return workdir, done

    def run(workdir, *options, config=CONFIG, expect=0):
        data = [f"--config.data.data_dir={thin_data}"]
        if config == CONFIG:
            data = [f"--config.tasks.{task}.data.data_dir={thin_data}" for task in ("ss", "cd")]
        arguments = (config, f"--workdir={workdir}", *data, *options)
        return programs.run(arguments, programs.environment(cache), expect)

    call.again = run
    return call


@pytest.fixture(scope="module")
def both(train):
    return train("--config.train.write_report=True")


def best(workdir):
    config = load_config(workdir)
    _, params = restore_best(workdir, config, create_model(config), sharding.create_mesh())
    return {k: np.asarray(v) for k, v in traverse_util.flatten_dict(params, sep="/").items()}


def test_both_tasks_are_trained_scored_and_drawn(both, train):
    workdir, done = both
    for words in ("task        ss", "task        cd", "loss x 1", "8 images a task"):
        assert words in done.stdout
    losses = {k: programs.metrics(workdir, f"train/{k}") for k in ("loss", "loss/ss", "loss/cd")}
    for step, loss in losses["loss"].items():
        parts = losses["loss/ss"][step] + losses["loss/cd"][step]
        np.testing.assert_allclose(loss, parts, rtol=1e-6)
    for task in ("ss", "cd"):
        assert list(programs.metrics(workdir, f"val/{task}/f1/foreground")) == [3, 6]
        page = (workdir / "report" / f"index_{task}.html").read_text()
        assert f"{task} on thin_{task}" in page
        assert 'id="scores"' in page
        with Image.open(workdir / "report" / f"predictions_{task}.png") as picture:
            assert picture.width > 800
    done = train.again(workdir, "--mode=eval")
    for task, classes in (("ss", "building"), ("cd", "no_change")):
        scores = json.loads((workdir / "report" / f"scores_test_{task}.json").read_text())
        assert scores["scores"]["all tiles"]["tiles"] == 11
        assert f"f1/{classes}" in scores["scores"]["all tiles"]
        assert classes in done.stdout


def test_the_best_checkpoint_has_the_highest_mean_score(both):
    workdir, _ = both
    scores = [programs.metrics(workdir, f"val/{task}/f1/foreground") for task in ("ss", "cd")]
    means = {step: (scores[0][step] + scores[1][step]) / 2 for step in scores[0]}
    best_step = max(means, key=lambda step: (means[step], -step))
    assert (workdir / "checkpoints" / "best" / str(best_step)).is_dir()


@pytest.mark.parametrize("task", ["ss", pytest.param("cd", marks=pytest.mark.long)])
def test_with_the_other_weight_at_zero_it_is_single_task_training(train, task):
    other = {"ss": "cd", "cd": "ss"}[task]
    together, done = train(f"--config.tasks.{other}.weight=0.0")
    assert f"task        {other}" not in done.stdout
    options = ["--config.train.num_steps=6", "--config.train.eval_every_steps=3"]
    if task == "cd":
        options += ["--config.task=cd", "--config.data.dataset=thin_cd"]
        options += ["--config.data.classes=('no_change','change')"]
    alone, _ = train(*options, config="--config=tests/helpers/thin_config.py")
    assert programs.metrics(alone) == programs.metrics(together)
    expected, found = best(alone), best(together)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert found.keys() == expected.keys()  # there is no head that was never trained


def test_resuming_changes_nothing(both, train):
    whole, _ = both
    parts, _ = train("--config.train.num_steps=3")
    train.again(parts)
    assert programs.metrics(parts) == programs.metrics(whole)


def test_all_weights_at_zero_are_refused(train, tmp_path):
    weights = [f"--config.tasks.{task}.weight=0.0" for task in ("ss", "cd")]
    done = train.again(tmp_path / "run", *weights, expect=2)
    assert "the weight of every task is 0" in done.stderr
    done = train.again(tmp_path / "run", "--config.tasks.cd.weight=-1.0", expect=2)
    assert "tasks.cd.weight is -1" in done.stderr


def test_a_field_that_a_section_holds_is_not_beside_it(train, tmp_path):
    done = train.again(tmp_path / "run", "--config.noise.schedule=sigmoid", expect=2)
    assert "noise" in done.stderr
    assert "no such config field" in done.stderr


def test_either_head_starts_a_run_of_its_task(both, train):
    workdir, _ = both
    options = (f"--config.init_from={workdir}", "--config.init_parts=all")
    _, done = train(
        *options, "--config.train.num_steps=1", config="--config=tests/helpers/thin_config.py"
    )
    assert "random: none" in done.stdout


def test_one_task_gives_its_backbone_and_head_to_both(train):
    alone, _ = train("--config.train.num_steps=2", config="--config=tests/helpers/thin_config.py")
    options = (f"--config.init_from={alone}", "--config.init_parts=all")
    _, done = train(*options, "--config.train.num_steps=1")
    assert "random: cd_input_conv/bias" in done.stdout
    assert "ss_input_conv" not in done.stdout.split("random:")[1].splitlines()[0]


def test_the_model_has_a_head_a_task():
    model = create_model(multitask_config.get_config())
    assert [(h.task, h.num_inputs, h.num_outputs) for h in model.heads] == [
        ("cd", 6, 2),
        ("ss", 3, 2),
    ]
