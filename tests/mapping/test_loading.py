import json

import numpy as np
import pytest
import thin_config
from finished_runs import finish
from safetensors.numpy import save_file

import noise2map_jax
from noise2map_jax.errors import UserError
from noise2map_jax.mapping import loading
from noise2map_jax.weights.export import export
from noise2map_jax.weights.single_file import write_single_file

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "ss"
    finish(workdir, thin_config.get_config())
    (workdir / "report").mkdir()
    (workdir / "report" / "threshold.json").write_text(json.dumps({"threshold": 0.375, "step": 7}))
    return workdir


def test_a_run_and_its_export_map_alike(run, tmp_path):
    model = noise2map_jax.load(run)
    assert (model.step, model.classes, model.image_keys) == (
        7,
        ("background", "building"),
        ("image",),
    )
    assert model.found["threshold"] == {"threshold": 0.375, "step": 7}
    maps = model.predict(IMAGE)
    export(run, tmp_path / "export")
    exported = noise2map_jax.load(str(tmp_path / "export"))
    assert exported.step == 7
    np.testing.assert_allclose(exported.predict(IMAGE).probabilities, maps.probabilities, atol=1e-6)
    assert maps.probabilities.std() > 0.01
    assert maps.classes.shape == (40, 50)
    np.testing.assert_array_equal(maps.classes, maps.probabilities[..., 1] > 0.5)


def test_a_file_of_half_precision_maps_as_its_run(run, tmp_path):
    path = write_single_file(run, tmp_path / "ss.safetensors")
    model = noise2map_jax.load(path)
    assert (model.step, model.image_keys, model.found) == (7, ("image",), {})
    maps = noise2map_jax.load(run).predict(IMAGE)
    np.testing.assert_allclose(model.predict(IMAGE).probabilities, maps.probabilities, atol=2e-3)


@pytest.mark.parametrize(("task", "images"), [("ss", 1), ("cd", 2)])
def test_weights_that_come_with_the_project_map(task, images):
    model = noise2map_jax.load(f"shipped:drawn_{task}")
    assert model.step == 1800
    maps = model.predict(*[np.full((64, 64, 3), 90, np.uint8)] * images)
    assert maps.probabilities[..., 1].mean() < 0.3  # even ground, the same on both dates


def test_a_file_without_a_network_or_of_another_task_is_refused(run, tmp_path):
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "plain.safetensors")
    write_single_file(run, tmp_path / "ss.safetensors").rename(tmp_path / "ss.bin")
    for name in ("plain.safetensors", "ss.bin"):
        with pytest.raises(UserError, match=rf"{name}' predicts no maps: it is no \.safetensors"):
            loading.load(tmp_path / name)
    with pytest.raises(UserError, match=r"no file '.*none\.safetensors'"):
        loading.load(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="task 'cd' is named; this run has ss"):
        loading.load("shipped:drawn_ss", task="cd")
    with pytest.raises(UserError, match="no weights 'shipped:ss' come with the project"):
        loading.load("shipped:ss")


def test_what_is_no_trained_network_is_refused(run, tmp_path, monkeypatch):
    config = thin_config.get_config()
    config.task = "denoise"
    finish(tmp_path / "denoiser", config)
    with pytest.raises(UserError, match="was trained to denoise; it predicts no maps"):
        loading.load(tmp_path / "denoiser")
    with pytest.raises(UserError, match=r"no run in '.*nothing'"):
        loading.load(tmp_path / "nothing")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").touch()
    with pytest.raises(UserError, match=r"holds model\.onnx, a network for other programs"):
        loading.load(tmp_path / "onnx")
    with pytest.raises(UserError, match="task 'cd' is named; this run has ss"):
        loading.load(run, task="cd")
    monkeypatch.setattr(loading, "find", lambda name: tmp_path)
    with pytest.raises(UserError, match=r"hf:a/b is a backbone alone: it has no noise2map\.json"):
        loading.load("hf:a/b")
