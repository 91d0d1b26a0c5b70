"""Pretraining by denoising, by the command line, and what begins with it."""

import base64
import io
import json
import re

import numpy as np
import programs
import pytest
from PIL import Image
from programs import metrics

BANDS = ("t000-249", "t250-499", "t500-749", "t750-999")


@pytest.fixture(scope="module")
def pretrained(thin_data, cache, tmp_path_factory):
    """A denoiser whose backbone has the channels of the image: there are no projections."""
    workdir = tmp_path_factory.mktemp("pretrain") / "run"
    arguments = (
        "--config=tests/helpers/thin_config.py",
        f"--workdir={workdir}",
        f"--config.data.data_dir={thin_data}",
        "--config.train.num_steps=60",
        "--config.train.eval_every_steps=30",
        "--config.train.write_report=True",
        *programs.DENOISE,
    )
    done = programs.run(arguments, programs.environment(cache))
    evaluated = programs.run((*arguments, "--mode=eval"), programs.environment(cache))
    return workdir, done, evaluated


def test_denoising_learns_in_every_band_of_timesteps(pretrained):
    workdir, _, _ = pretrained
    for band in BANDS:
        ratio = metrics(workdir, f"val/loss_over_zero/{band}")
        assert list(ratio) == [30, 60]
        assert ratio[60] < 0.9, band
    # The more noise there is, the better it is told from the image.
    last = [metrics(workdir, f"val/loss/{band}")[60] for band in BANDS]
    assert last[0] > last[1] > last[3]
    np.testing.assert_allclose(metrics(workdir, "val/loss")[60], np.mean(last), rtol=1e-6)


def test_the_best_is_the_one_of_least_loss(pretrained):
    workdir, done, _ = pretrained
    losses = metrics(workdir, "val/loss")
    best = min(losses, key=losses.get)
    assert (workdir / "checkpoints" / "best" / str(best)).is_dir()
    assert f"best step {best}: loss {losses[best]:.5f}" in done.stdout


def test_the_page_of_a_denoiser_has_its_curve_and_no_scores_of_maps(pretrained):
    workdir, _, _ = pretrained
    page = (workdir / "report" / "index.html").read_text()
    assert "loss of training" in page
    assert 'id="scores"' not in page
    assert "What the network sees" in page
    shown = re.findall(r'class="sample"><img src="data:image/png;base64,([^"]*)"', page)
    drawn = sorted((workdir / "report").glob("samples_*.png"))
    for text, path in zip(shown, drawn, strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
        np.testing.assert_array_equal(picture, np.asarray(Image.open(path)))


def test_samples_are_drawn_at_every_evaluation(pretrained):
    workdir, _, _ = pretrained
    pictures = sorted((workdir / "report").glob("samples_*.png"))
    assert [path.name for path in pictures] == ["samples_000030.png", "samples_000060.png"]
    first, last = (np.asarray(Image.open(path)) for path in pictures)
    assert first.shape == last.shape
    assert (first != last).any()  # the same noise, another network


def test_evaluation_states_the_loss_by_band(pretrained):
    workdir, _, done = pretrained
    scores = json.loads((workdir / "report" / "scores_test.json").read_text())["scores"]
    assert {f"loss/{band}" for band in BANDS} < set(scores["all tiles"])
    assert "0-249" in done.stdout
    assert "split test: 11 tiles" in done.stdout
    assert (workdir / "report" / "samples.png").is_file()


def test_evaluation_does_not_depend_on_the_batch(pretrained, thin_data, cache):
    workdir, _, _ = pretrained
    path = workdir / "report" / "scores_test.json"
    before = json.loads(path.read_text())["scores"]["all tiles"]
    arguments = (
        "--config=tests/helpers/thin_config.py",
        f"--workdir={workdir}",
        f"--config.data.data_dir={thin_data}",
        "--config.eval.batch_size=16",
        *programs.DENOISE,
        "--mode=eval",
    )
    programs.run(arguments, programs.environment(cache, num_devices=8))
    after = json.loads(path.read_text())["scores"]["all tiles"]
    assert after.keys() == before.keys()
    np.testing.assert_allclose(list(after.values()), list(before.values()), rtol=1e-5)


def test_fine_tuning_begins_with_the_averaged_backbone(pretrained, program):
    workdir, _, _ = pretrained
    done = program(f"--config.init_from={workdir}", "--config.train.num_steps=1")
    assert f"tensors from the run {workdir}" in done.stdout
    assert "unet/" not in done.stdout.split("random:")[1].splitlines()[0]


def test_maps_are_not_to_be_had_of_a_denoiser(pretrained, tmp_path):
    workdir, _, _ = pretrained
    from noise2map_jax import predict

    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    arguments = [f"--workdir={workdir}", f"--image={tmp_path / 'a.png'}"]
    assert predict.main([*arguments, f"--output={tmp_path / 'map.tif'}"]) == 2


@pytest.mark.parametrize(
    "prediction_type", ["sample", pytest.param("v_prediction", marks=pytest.mark.long)]
)
def test_other_things_can_be_predicted(program, tmp_path, prediction_type):
    done = program(
        *programs.DENOISE,
        f"--config.noise.prediction_type={prediction_type}",
        "--config.train.num_steps=2",
        "--config.model.unet.in_channels=8",  # then there are projections
        "--config.model.unet.out_channels=8",
    )
    assert f"denoise: predicts {prediction_type}" in done.stdout
    assert metrics(tmp_path / "run", "val/loss_over_zero")[2] > 0


def test_pairs_cannot_be_denoised(program):
    done = program(*programs.DENOISE, "--config.data.dataset=thin_cd", expect=2)
    assert "has task 'cd', but the config says 'denoise'" in done.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("eval.num_timestep_bands=0", "num_timestep_bands is 0"),
        ("eval.num_samples=-1", "num_samples is -1"),
        ("eval.num_sampling_steps=1001", "num_sampling_steps 1001"),
        ("noise.kind=clean", "'clean'"),
        ("train.backbone_learning_rate_factor=0.0", "nothing would be trained"),
    ],
)
def test_what_cannot_be_learned_or_measured_is_refused_at_once(program, option, words):
    done = program(*programs.DENOISE, f"--config.{option}", expect=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
