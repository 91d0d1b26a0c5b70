import json
import shutil

import jax
import numpy as np
import programs
import pytest
import thin_config
from PIL import Image
from programs import metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from noise2map_jax import train
from noise2map_jax.data.opening import open_dataset
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_json import FORMAT

CD = (
    "--config.task=cd",
    "--config.data.dataset=thin_cd",
    "--config.data.classes=('no_change','change')",
)


def test_a_run_leaves_everything_that_is_promised(program, thin_data, tmp_path):
    options = ("--config.train.ema_decay=0.9", "--config.train.cosine=True")
    done = program(*options, "--config.train.write_report=True")
    run = tmp_path / "run"
    for word in ("parameters", "devices     1 x cpu", "8 images, 8 a device", "steps       20"):
        assert word in done.stdout
    assert "train: 160/160 images [" in done.stderr
    assert "val foreground F1" in done.stderr
    losses = metrics(run)
    assert list(losses) == list(range(1, 21))
    assert np.mean([losses[i] for i in range(16, 21)]) < np.mean([losses[i] for i in range(1, 6)])
    assert list(metrics(run, "val/f1/foreground")) == [10, 20]
    rates = metrics(run, "train/learning_rate")
    assert rates[1] > rates[20] > 0
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    config.train.update(ema_decay=0.9, cosine=True, write_report=True)
    digests = {"ss": open_dataset("thin_ss", str(thin_data)).digest}
    saved = json.loads((run / "config.json").read_text())
    expected = {"format": FORMAT, "datasets": digests} | config.to_dict()
    assert saved == json.loads(json.dumps(expected))
    assert not (run / "config_history.jsonl").exists()
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert len(events.Scalars("train/loss")) == 20
    assert events.Images("predictions/val")
    assert "validation F1" in (run / "report" / "index.html").read_text()
    with Image.open(run / "report" / "predictions.png") as picture:
        assert picture.width > 800
    assert (run / "checkpoints" / "latest" / "20").is_dir()


def test_a_finished_run_is_not_trained_again_but_can_be_gone_on_with(program, tmp_path):
    cosine, run = "--config.train.cosine=True", tmp_path / "run"
    program("--config.train.num_steps=5", cosine)
    before = [(run / name).read_bytes() for name in ("metrics.jsonl", "config.json")]
    done = program("--config.train.num_steps=5", cosine)
    assert "resuming at 5" in done.stdout
    others = ("--config.noise.kind=clean", "--config.seed=7")
    done = program(*others, cosine, "--config.train.class_weights=1.0,2.0", expect=2)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    for words in (
        *("noise.kind ('structured', now 'clean')", "seed (0, now 7)"),
        *("train.class_weights ([1.0, 5.0], now [1.0, 2.0])", "another --workdir"),
    ):
        assert words in line
    done = program("--config.train.num_steps=4", cosine, expect=2)
    assert "trained for 5 steps, more than the 4" in done.stderr
    assert [(run / name).read_bytes() for name in ("metrics.jsonl", "config.json")] == before
    assert not (run / "config_history.jsonl").exists()

    done = program("--config.train.num_steps=8", cosine)
    assert "changed since this run was started: train.num_steps (5, now 8)" in done.stdout
    assert "from step 5 the learning rate follows a cosine of another length" in done.stdout
    assert list(metrics(run)) == list(range(1, 9))
    assert (run / "config.json").read_bytes() == before[1]
    assert json.loads((run / "config_history.jsonl").read_text()) == {
        "step": 5,
        "changes": {"train.num_steps": [5, 8]},
    }


def test_change_detection_trains_and_is_scored_with_and_without_unchanged_tiles(program, tmp_path):
    short = ("--config.train.num_steps=4", "--config.train.eval_every_steps=4")
    options = ("--config.augment.exchange_dates=True", "--config.train.class_weights_from=data")
    program(*CD, *options, *short)
    done = program(*CD, "--mode=eval")
    scores = json.loads((tmp_path / "run" / "report" / "scores_test.json").read_text())
    assert set(scores["scores"]) == {"all tiles", "tiles with change"}
    assert scores["scores"]["all tiles"]["tiles"] == 11
    assert scores["scores"]["tiles with change"]["tiles"] < 11
    for words in ("all tiles (11 tiles)", "tiles with change", "split test", "protocol"):
        assert words in done.stdout


@pytest.mark.long
def test_eight_devices_and_one_give_the_same_run(program, tmp_path):
    results = []
    for num in (1, 8):
        workdir = tmp_path / f"on{num}"
        options = ("--config.train.num_steps=10", "--config.train.eval_every_steps=10")
        done = program(*options, num_devices=num, workdir=workdir)
        assert f"devices     {num} x cpu" in done.stdout
        results.append(list(metrics(workdir).values()))
    one, eight = results
    assert len(one) == 10
    np.testing.assert_allclose(eight, one, rtol=1e-5)
    scores = []
    for num in (1, 8):  # one checkpoint; 11 tiles, so that the last batch does not divide
        program("--mode=eval", num_devices=num, workdir=tmp_path / "on8")
        path = tmp_path / "on8" / "report" / "scores_test.json"
        scores.append(json.loads(path.read_text())["scores"])
    assert scores[0] == scores[1]


def test_tests_see_eight_devices():
    assert jax.device_count() == 8


def test_eval_is_of_the_run_as_trained_and_says_what_is_not(program, thin_data, cache, tmp_path):
    run = tmp_path / "run"
    program("--config.train.num_steps=2", "--config.noise.kind=clean_timestep")
    for mode in ("eval", "baselines"):  # a flag is forgotten
        done = program(f"--mode={mode}", expect=2)
        assert "error: " in done.stderr
        assert "noise.kind ('clean_timestep', now 'structured')" in done.stderr
        assert "leave out --config" in done.stderr
    assert not (run / "report").exists()
    timesteps = "--config.noise.inference_timesteps=500,"
    own = ("--mode=eval", f"--workdir={run}")  # with the config that the run keeps
    done = programs.run((*own, timesteps), programs.environment(cache))
    assert "differs from training: noise.inference_timesteps ([-1], now [500])" in done.stdout
    assert "predicted at t = 500" in done.stdout
    scores = json.loads((run / "report" / "scores_test.json").read_text())
    assert scores["differs_from_training"] == {"noise.inference_timesteps": [[-1], [500]]}
    dataset = open_dataset("thin_ss", str(thin_data))
    found = [scores[k] for k in ("dataset", "records", "split", "num_records", "step")]
    assert found == ["thin_ss", dataset.digest, "test", 11, 2]
    programs.run((*own, "--mode=baselines"), programs.environment(cache))
    assert (run / "report" / "baselines_test.json").is_file()


def test_a_dataset_built_anew_is_noticed(program, thin_data, tmp_path):
    """Its checksums are altered, which stand for its records."""
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(thin_data / "thin_ss", data / "thin_ss")
    options = (f"--config.data.data_dir={data}", "--config.train.num_steps=1")
    program(*options)
    (path,) = data.glob("*/*/manifest.json")
    manifest = json.loads(path.read_text())
    manifest["shards"] = dict.fromkeys(manifest["shards"], "0" * 64)
    path.write_text(json.dumps(manifest))
    done = program(*options[:1], "--config.train.num_steps=2", expect=2)
    assert "dataset of task ss was built anew" in done.stderr
    done = program(*options, "--mode=eval")
    assert "differs from training: data.dataset ('thin_ss of training', now" in done.stdout
    assert len(json.loads((run / "report" / "scores_test.json").read_text())["records"]) == 64


def test_checkpoints_of_nobody_knows_what_are_refused(tmp_path):
    (tmp_path / "checkpoints" / "latest" / "5").mkdir(parents=True)
    with pytest.raises(UserError, match=r"holds checkpoints but no config.json.*another --workdir"):
        train.train(thin_config.get_config(), tmp_path)
    assert not (tmp_path / "config.json").exists()
