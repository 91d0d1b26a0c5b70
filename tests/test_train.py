import json

import jax
import numpy as np
from PIL import Image
from programs import metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CD = (
    "--config.task=cd",
    "--config.data.dataset=thin_cd",
    "--config.data.classes=('no_change','change')",
)


def test_a_run_leaves_everything_that_is_promised(program, tmp_path):
    options = ("--config.train.ema_decay=0.9", "--config.train.cosine=True")
    done = program(*options, "--config.train.write_report=True")
    run = tmp_path / "run"
    for word in ("parameters", "devices     1 x cpu", "8 images, 8 a device", "steps       20"):
        assert word in done.stdout
    assert "img/s" in done.stderr
    assert "val foreground F1" in done.stderr
    losses = metrics(run)
    assert list(losses) == list(range(1, 21))
    assert np.mean([losses[i] for i in range(16, 21)]) < np.mean([losses[i] for i in range(1, 6)])
    assert list(metrics(run, "val/f1/foreground")) == [10, 20]
    rates = metrics(run, "train/learning_rate")
    assert rates[1] > rates[20] > 0
    saved = json.loads((run / "config.json").read_text())
    assert saved["train"]["ema_decay"] == 0.9
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert len(events.Scalars("train/loss")) == 20
    assert events.Images("predictions/val")
    assert "validation F1" in (run / "report" / "index.html").read_text()
    with Image.open(run / "report" / "predictions.png") as picture:
        assert picture.width > 800
    assert (run / "checkpoints" / "latest" / "20").is_dir()


def test_a_finished_run_is_not_trained_again_but_can_be_gone_on_with(program, tmp_path):
    program("--config.train.num_steps=5")
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    done = program("--config.train.num_steps=5")
    assert "going on from 5" in done.stdout
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before
    done = program("--config.train.num_steps=8")
    assert "changed since this run was started: train.num_steps" in done.stdout


def test_change_detection_trains_and_is_scored_with_and_without_unchanged_tiles(program, tmp_path):
    program(*CD, "--config.augment.exchange_dates=True", "--config.train.class_weights_from=data")
    done = program(*CD, "--mode=eval")
    scores = json.loads((tmp_path / "run" / "report" / "scores_test.json").read_text())
    assert set(scores["scores"]) == {"all tiles", "tiles with change"}
    assert scores["scores"]["all tiles"]["tiles"] == 11
    assert scores["scores"]["tiles with change"]["tiles"] < 11
    for words in ("all tiles (11 tiles)", "tiles with change", "split test", "protocol"):
        assert words in done.stdout


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


def test_eval_says_what_is_not_as_trained(program):
    program("--config.train.num_steps=2")
    done = program("--mode=eval", "--config.noise.inference_timesteps=500,")
    assert "not as trained: noise.inference_timesteps" in done.stdout
    assert "predicted at t = 500" in done.stdout
