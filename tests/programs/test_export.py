"""From a finished run to a folder that other programs load; one line for every mistake."""

import json
import sys

import numpy as np
import onnxruntime
import pytest
import thin_config
from exported_networks import thin
from finished_runs import finish
from safetensors.numpy import save_file

import noise2map_jax
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.task_configs import task_config
from noise2map_jax.export import main
from noise2map_jax.exports import loaded
from noise2map_jax.exports.folder import write_files
from noise2map_jax.exports.prediction import read_prediction
from noise2map_jax.weights.single_file import write_single_file

SCORES = {"protocol": "toy, split test: 11 tiles", "scores": {"all tiles": {"f1/foreground": 0.5}}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of segmentation that was evaluated; its scores on val are of earlier parameters."""
    workdir = tmp_path_factory.mktemp("run")
    finish(workdir, thin())
    (workdir / "report").mkdir()
    for split, step in (("test", 7), ("val", 5)):
        scores = SCORES | {"step": step, "inference_timesteps": [999]}
        (workdir / "report" / f"scores_{split}.json").write_text(json.dumps(scores))
    (workdir / "report" / "threshold.json").write_text('{"temperature": 2.5, "step": 7}')
    return workdir


@pytest.fixture
def export(run, tmp_path):
    def call(*options, workdir=run, output=tmp_path / "export"):
        return main([f"--workdir={workdir}", f"--output={output}", *options])

    return call


def test_both_formats_predict_the_same_from_one_folder(export, run, tmp_path, capsys):
    options = ("--timesteps=700,-1", "--tile_size=8", "--resolution=30")
    assert export("--format=stablehlo", *options) == 0
    assert export("--format=onnx", "--pixels=stored", *options) == 0
    written = [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]
    folder = tmp_path / "export"
    assert sorted(written) == sorted(path.name for path in folder.iterdir())
    model = loaded.load(folder)
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (y,) = session.run(None, {"pixels": np.moveaxis(image, -1, 1).astype(np.float32)})
    found = model.predict_tiles(image)
    np.testing.assert_allclose(np.moveaxis(y, 1, -1), found, atol=1e-4)
    about = json.loads(session.get_modelmeta().custom_metadata_map["noise2map"])
    assert about.items() <= model.metadata.items()
    assert (about["timesteps"], about["tile_size"], about["step"]) == ([700, 999], 8, 7)
    assert about["resolution_cm"] == 30
    assert about["temperature"] == 2.5
    plain = noise2map_jax.load(run).predict(image[0], tile_size=8, timesteps=(700, -1))
    np.testing.assert_allclose(found[0], plain.probabilities, atol=1e-5)
    assert about["scores"] == [
        {
            "split": "test",
            "protocol": SCORES["protocol"],
            "timesteps": [999],
            "scores": {"f1/foreground": 0.5},
        }
    ]


def test_a_file_of_weights_is_exported_as_its_run(export, run, tmp_path, capsys):
    path = write_single_file(run, tmp_path / "thin.safetensors")
    assert export("--format=stablehlo", workdir=path) == 0
    program = loaded.load(tmp_path / "export")
    own = noise2map_jax.load(path)
    scene = np.random.default_rng(0).integers(0, 256, (program.tile_size,) * 2 + (3,), np.uint8)
    np.testing.assert_allclose(
        noise2map_jax.load(tmp_path / "export").predict(scene).probabilities,
        own.predict(scene).probabilities,
        atol=1e-5,
    )
    assert program.metadata["scores"] == []  # a file tells none
    missing = tmp_path / "missing.safetensors"
    assert export("--format=onnx", workdir=missing, output=tmp_path / "x") == 2
    assert f"no file {str(missing)!r}: give a run" in capsys.readouterr().err
    save_file({"a": np.zeros(1, np.float32)}, missing)
    assert export("--format=onnx", workdir=missing, output=tmp_path / "x") == 2
    assert f"{str(missing)!r} predicts no maps" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_weights_that_come_with_the_project_are_exported():
    run, prediction = read_prediction("shipped:drawn_ss")
    assert run.step == prediction.config.train.num_steps
    tiles = np.zeros((1, *prediction.tile_shape), np.uint8)
    assert prediction.probabilities(tiles).shape == (1, *prediction.tile_shape[:2], 2)


@pytest.mark.parametrize("mix", ["default", "gaussian"])
def test_scenes_are_mapped_by_the_program_as_by_the_run(tmp_path, mix):
    config = thin()
    config.noise.mix = mix  # with Gaussian noise, tiles must come with their places
    finish(tmp_path / "run", config)
    (tmp_path / "run" / "report").mkdir()
    (tmp_path / "run" / "report" / "threshold.json").write_text('{"temperature": 2.5, "step": 7}')
    options = [f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'export'}"]
    assert main([*options, "--format=stablehlo"]) == 0
    model, program = (noise2map_jax.load(tmp_path / name) for name in ("run", "export"))
    image = np.random.default_rng(0).integers(0, 256, (40, 53, 3), np.uint8)
    maps, found = model.predict(image), program.predict(image)
    np.testing.assert_allclose(found.probabilities, maps.probabilities, atol=1e-5)
    assert maps.probabilities.std() > 0.01
    for wrong in ({"tile_size": 8}, {"timesteps": (3,)}, {"symmetries": True}, {"temperature": 3}):
        with pytest.raises(UserError, match="export the run again"):
            program.predict(image, **wrong)
    with pytest.raises(UserError, match="does not know its best threshold"):
        program.predict(image, threshold="best")


def test_what_is_refused_leaves_no_folder(export, tmp_path, capsys):
    assert export("--format=stablehlo", "--timesteps=5000") == 2
    assert export("--format=stablehlo", output="") == 2
    assert "output is empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("of_maps", "size"), [(0, 16), (24, 24)])
def test_tiles_have_the_side_of_those_of_maps(of_maps, size, tmp_path):
    config = thin()
    config.augment.crop_size, config.model.sample_size = 16, 0
    config.eval.map_tile_size = of_maps
    finish(tmp_path / "run", config)
    options = [f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'export'}"]
    assert main([*options, "--format=stablehlo"]) == 0
    assert loaded.load(tmp_path / "export").tile_size == size


def test_an_earlier_export_is_replaced_only_if_asked(export, tmp_path, capsys):
    assert export("--format=stablehlo") == 0
    before = loaded.load(tmp_path / "export")
    assert export("--format=stablehlo", "--timesteps=5") == 2
    assert "holds model.stablehlo, model.json already" in capsys.readouterr().err
    assert export("--format=stablehlo", "--timesteps=5", "--overwrite") == 0
    assert before.metadata["timesteps"] == [999]
    assert loaded.load(tmp_path / "export").metadata["timesteps"] == [5]


def test_a_run_of_several_tasks_exports_one_of_them(export, tmp_path, capsys):
    from configs import default

    parts = {task: thin(task) for task in ("ss", "cd")}
    base = thin_config.get_config()
    base.model.sample_size = 0
    config = default.multitask(base, parts)
    workdir = tmp_path / "both"
    finish(workdir, config)
    assert task_config(config, "cd").data.tile_size == 16
    (workdir / "report").mkdir()
    for task in ("ss", "cd"):
        scores = SCORES | {"step": 7, "protocol": task}
        (workdir / "report" / f"scores_test_{task}.json").write_text(json.dumps(scores))
    assert export("--format=stablehlo", workdir=workdir) == 2
    assert "no task is named; this run has cd, ss: see --task" in capsys.readouterr().err
    assert export("--format=stablehlo", "--task=cd", workdir=workdir) == 0
    model = loaded.load(tmp_path / "export")
    assert model.image_keys == ("pre", "post")
    assert [(one["split"], one["protocol"]) for one in model.metadata["scores"]] == [("test", "cd")]


def refused(export, capsys, *options, **places):
    """Return the one line that a mistake gives."""
    capsys.readouterr()
    assert export(*options, **places) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_every_mistake_is_one_line(export, run, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    for options, places, message in [
        (["--format=onnx"], {"workdir": tmp_path}, "no run in"),
        (["--format=onnx"], {"output": tmp_path / "file"}, "is not a folder"),
        (["--format=onnx"], {"output": tmp_path / "file" / "in"}, "cannot write to"),
        (["--format=stablehlo", "--pixels=stored"], {}, "--pixels is of --format=onnx"),
        (["--format=stablehlo", "--tile_size=9"], {}, "need height and width divisible by 2"),
        (["--format=stablehlo", "--tile_size=-9"], {}, "tile_size is -9; expected a number"),
        (["--format=stablehlo", "--timesteps=1000"], {}, "-T <= t < T, T = 1000"),
        (["--format=stablehlo", "--task=cd"], {}, "task 'cd' is named; this run has ss"),
    ]:
        assert message in refused(export, capsys, *options, **places)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [name for name in sys.modules if name.startswith("noise2map_jax.exports.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("noise2map_jax.exports.onnx_file", raising=False)
    assert "pip install 'noise2map_jax[onnx]'" in refused(export, capsys, "--format=onnx")


def test_tiles_that_are_resampled_keep_their_size(export, tmp_path, capsys):
    config = thin()
    config.model.sample_size = 8
    finish(tmp_path / "resampled", config)
    line = refused(
        export, capsys, "--format=onnx", "--tile_size=32", workdir=tmp_path / "resampled"
    )
    assert "resamples every tile to 8 pixels (model.sample_size)" in line
    assert "leave it at 16" in line


@pytest.mark.parametrize("option", ["--resolution=0", "--resolution=fine", "--timesteps=a"])
def test_numbers_out_of_range_are_refused_by_the_command_line(export, option, capsys):
    with pytest.raises(SystemExit, match="2"):
        export("--format=onnx", option)
    assert f"argument {option.partition('=')[0]}: expected" in capsys.readouterr().err


def test_a_full_disk_leaves_no_description_of_other_files(tmp_path, monkeypatch):
    import pathlib

    from noise2map_jax.errors import UserError

    write_files(tmp_path, {"a": b"old", "about": b"old"})
    whole = pathlib.Path.write_bytes

    def write(path, content):
        whole(path, content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", write)
    with pytest.raises(UserError, match="No space left on device; choose another --output"):
        write_files(tmp_path, {"a": b"new", "about": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}
