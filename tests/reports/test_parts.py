"""Parts of pages: what was logged, what the network sees, what it predicts."""

import json
import types

import numpy as np
import pytest
from PIL import Image
from problems import tiny_batch, tiny_problem, tiny_process

from noise2map_jax.cost.network_parts import Part
from noise2map_jax.page.content import StepPart
from noise2map_jax.pictures.prediction_rows import PredictedRecord
from noise2map_jax.reports.parts import (
    drawn_samples,
    learning_curve,
    noised_inputs,
    scene_pictures,
    step_parts,
)
from noise2map_jax.training import profile


def objective(task, **options):
    problem = tiny_problem(task)
    return types.SimpleNamespace(
        problem=problem, task=problem.task, process=tiny_process(task, **options)
    )


def record(task):
    return {key: value[0] for key, value in tiny_batch(task).items()} | {
        "id": "val/a/r00000_c00000"
    }


def test_samples_are_spread_over_training(tmp_path):
    for step in range(10, 80, 10):
        picture = np.full((2, 3, 3), step, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"samples_{step:06d}_denoise.png")
    for other in ("samples_000099.png", "samples_old_denoise.png", "samples_denoise.png"):
        Image.fromarray(picture).save(tmp_path / other)
    found = drawn_samples(tmp_path, "samples_*_denoise.png")
    assert [step for step, _ in found] == [10, 30, 50, 70]
    assert all((picture == step).all() for step, picture in found)
    assert drawn_samples(tmp_path, "predictions_*.png") == ()


def test_parts_of_a_step_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "parts.csv"
    assert step_parts(path) == ()
    times = {Part("loss", "forward"): 1.5, Part("optimizer"): 6.0}
    profile._write(times, 7.5, path)
    assert step_parts(path) == (StepPart("optimizer", 6.0, 0.8), StepPart("loss forward", 1.5, 0.2))


def test_curves_are_what_was_logged(tmp_path):
    lines = [
        {"step": 1, "train/loss": 0.5},
        {"step": 2, "train/loss": None},
        {"step": 2, "val/f1/foreground": 0.25, "val/loss": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = learning_curve(tmp_path, "mine", 3, loss="train/loss", f1="val/f1/foreground")
    assert (curve.variant, curve.seed) == ("mine", 3)
    np.testing.assert_array_equal(curve.loss_steps, [1, 2])
    np.testing.assert_array_equal(curve.loss, [0.5, np.nan])
    np.testing.assert_array_equal(curve.f1_steps, [2])
    np.testing.assert_array_equal(curve.f1, [0.25])


def test_a_pair_is_shown_with_its_dates_exchanged_at_the_end():
    one = record("cd")
    noised = noised_inputs(objective("cd"), one, "mine")
    assert noised.timesteps == (0, 200, 400, 599, 799, 999)
    assert noised.images.shape == (6, 2, 16, 16, 3)
    first, last = noised.images[0].astype(int), noised.images[-1].astype(int)
    # At t = 0 signal is 0.99995 and noise 0.01, at t = 999 the other way round.
    assert np.abs(first[0] - one["pre"]).max() <= 3
    assert np.abs(first[1] - one["post"]).max() <= 3
    assert np.abs(last[0] - one["post"]).max() <= 3
    assert np.abs(last[1] - one["pre"]).max() <= 3


def test_a_single_image_gets_brighter_and_is_cut_off():
    one = record("ss")
    noised = noised_inputs(objective("ss"), one, "mine")
    assert noised.images.shape == (6, 16, 16, 3)
    gain = np.sqrt(2)  # where signal and noise are equal, near t = 258
    seen = np.clip((one["image"] / 127.5 - 1) * gain, -1, 1)
    found = np.abs(noised.images[1].astype(int) - (127.5 * seen + 127.5)).max()
    assert found < 4


def test_maps_are_scored_without_what_is_ignored():
    one = record("ss")
    mask = np.zeros((16, 16), np.uint8)
    mask[:2], mask[2:4] = 255, 1
    probabilities = np.zeros((16, 16, 2), np.float32)
    probabilities[..., 0] = 1
    probabilities[:3] = (0.25, 0.75)  # foreground: two ignored rows and one of two right ones
    predicted = PredictedRecord((one["image"],), mask, probabilities, "label")
    shown = scene_pictures(objective("ss"), "place", predicted, [("mine", probabilities)])
    (prediction,) = shown.predictions
    assert prediction.f1 == pytest.approx(2 / 3)
    assert prediction.probability[0, 0] == pytest.approx(0.75)
    np.testing.assert_array_equal(prediction.classes[:4, 0], [1, 1, 1, 0])
    np.testing.assert_array_equal(shown.images[0], one["image"])
