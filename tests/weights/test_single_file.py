"""A finished run leaves as one file of half precision, which `init_from` takes."""

import json

import jax
import numpy as np
import pytest
import thin_config
from finished_runs import finish
from flax import traverse_util

from configs import default
from noise2map_jax.devices import checkpoint
from noise2map_jax.errors import UserError
from noise2map_jax.weights import load_authors, read_tensor_file
from noise2map_jax.weights.__main__ import main
from noise2map_jax.weights.safetensors_file import read_metadata, write_safetensors
from noise2map_jax.weights.single_file import is_single_file, load_single_file, write_single_file


def test_the_file_holds_the_best_parameters_rounded(tmp_path, capsys):
    config = thin_config.get_config()
    config.data.data_dir = "/somewhere/private/data"
    model, params = finish(tmp_path / "run", config)
    path = tmp_path / "thin.safetensors"
    assert main(["file", f"--workdir={tmp_path / 'run'}", f"--output={path}"]) == 0
    assert capsys.readouterr().out.split() == [f"{path.stat().st_size:,}", "bytes", str(path)]
    assert {t.dtype for t in read_tensor_file(path).values()} == {np.dtype(np.float16)}
    origin, again, read = load_single_file(path)
    assert again == model
    assert (origin.step, origin.task) == (7, "ss")
    assert origin.config.data.data_dir == "data"  # no path of this machine goes with it
    jax.tree.map(np.testing.assert_array_equal, read, load_authors(path, model, "ss"))
    found, expected = map(traverse_util.flatten_dict, (read, params))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value.astype(np.float16), err_msg=str(name))


def test_a_wrong_name_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("thin.pth", "folder.safetensors"):
        with pytest.raises(UserError, match=rf"{name}' is no file that ends in .safetensors"):
            write_single_file(tmp_path / "none", tmp_path / name)


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, capsys):
    finish(tmp_path / "run", thin_config.get_config())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thin.safetensors.tmp").mkdir()  # where it would be written first
    output = tmp_path / "folder" / "thin.safetensors"
    assert main(["file", f"--workdir={tmp_path / 'run'}", f"--output={output}"]) == 2
    assert "choose another --output" in capsys.readouterr().err
    assert not output.exists()
    assert write_single_file(tmp_path / "run", tmp_path / "new" / "thin.safetensors").is_file()


@pytest.mark.parametrize(
    ("value", "said"),
    [(70_000.0, "1 tensors, such as .*, hold values above 65,504"), (np.nan, "are not finite")],
)
def test_values_that_half_precision_cannot_hold_are_refused(value, said, tmp_path):
    workdir = tmp_path / "run"
    _, params = finish(workdir, thin_config.get_config())
    params["unet"]["conv_in"]["kernel"][0, 0, 0, 0] = value
    checkpoints = checkpoint.Checkpoints(workdir / "checkpoints")
    checkpoints.save_best(8, params, 0.9)
    checkpoints.close()
    with pytest.raises(UserError, match=said):
        write_single_file(workdir, tmp_path / "thin.safetensors")
    assert not (tmp_path / "thin.safetensors").exists()


def of_tasks(**weights):
    """A config with a section for each task."""
    ss, cd = thin_config.get_config(), thin_config.get_config()
    cd.task, cd.data.classes = "cd", ("no_change", "change")
    config = default.multitask(ss, {"ss": ss, "cd": cd})
    for task, weight in weights.items():
        config.tasks[task].weight = weight
    return config


def test_a_run_of_several_tasks_leaves_a_file_if_one_of_them_was_trained(tmp_path):
    finish(tmp_path / "both", of_tasks())
    with pytest.raises(UserError, match=r"is of .*cd.*, and a file holds one task"):
        write_single_file(tmp_path / "both", tmp_path / "thin.safetensors")
    _, params = finish(tmp_path / "one", of_tasks(ss=0.0))
    path = write_single_file(tmp_path / "one", tmp_path / "thin.safetensors")
    origin, model, read = load_single_file(path)
    assert origin.task == origin.config.task == "cd"
    assert [head.task for head in model.heads] == ["cd"]
    assert read.keys() == params.keys()


def test_a_denoiser_leaves_no_file(tmp_path):
    config = thin_config.get_config()
    config.task = "denoise"
    finish(tmp_path / "run", config)
    with pytest.raises(UserError, match=r"is of denoise, and a file holds one task with a map"):
        write_single_file(tmp_path / "run", tmp_path / "thin.safetensors")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{nope", "are damaged"),
        ("[1]", "are damaged"),
        ("null", "are damaged"),
        ({}, "are damaged"),
        ({"format": 99}, "format is 99, expected 1"),
        ({"format": 1, "config": 3}, "format is 1, expected 1 and a config"),
        ({"format": 1, "step": None}, "its step is None, expected a number from 0"),
        ({"format": 1, "step": True}, "its step is True, expected a number from 0"),
        ({"format": 1, "task": "cd"}, "not a config of this version"),
        ({"format": 1, "config": {"task": "ss"}}, "thin.safetensors"),
        ({"format": 1, "unet": "block_out_channels"}, "not a config of this version"),
        ({"format": 1, "unet": "of_a_newer_version"}, "thin.safetensors"),
    ],
)
def test_damaged_metadata_name_the_file(content, said, tmp_path):
    finish(tmp_path / "run", thin_config.get_config())
    path = write_single_file(tmp_path / "run", tmp_path / "thin.safetensors")
    about = json.loads(read_metadata(path)["noise2map"])
    if isinstance(content, dict):
        about |= {name: value for name, value in content.items() if name != "unet"}
        if "unet" in content:
            about["config"]["model"]["unet"][content["unet"]] = 3
        if not content:
            del about["step"]
        content = json.dumps(about)
    write_safetensors(path, read_tensor_file(path), {"noise2map": content})
    with pytest.raises(UserError, match=said) as error:
        load_single_file(path)
    assert str(error.value).startswith(str(path))


def test_a_file_without_a_config_is_no_such_file(tmp_path):
    write_safetensors(tmp_path / "plain.safetensors", {"a": np.zeros(2, np.float32)})
    assert not is_single_file(tmp_path / "plain.safetensors")


def test_inspect_tells_the_run(tmp_path, capsys):
    finish(tmp_path / "run", thin_config.get_config())
    path = write_single_file(tmp_path / "run", tmp_path / "thin.safetensors")
    for name, said in (
        (path, "full model of a run: step 7, ss on "),
        ("shipped:drawn_cd", "full model of a run: step 1800, cd on drawn_cd"),
    ):
        assert main(["inspect", str(name)]) == 0
        assert said in capsys.readouterr().out
