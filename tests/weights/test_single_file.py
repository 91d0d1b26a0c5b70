"""A finished run leaves as one file of half precision, which `init_from` takes."""

import jax
import numpy as np
import pytest
import thin_config
from finished_runs import finish
from flax import traverse_util

from noise2map_jax.devices import checkpoint
from noise2map_jax.errors import UserError
from noise2map_jax.weights import load_authors, read_tensor_file
from noise2map_jax.weights.__main__ import main
from noise2map_jax.weights.single_file import load_single_file, write_single_file


def test_the_file_holds_the_best_parameters_rounded(tmp_path, capsys):
    config = thin_config.get_config()
    config.data.data_dir = "/somewhere/private/data"
    model, params = finish(tmp_path / "run", config)
    path = tmp_path / "thin.safetensors"
    assert main(["file", f"--workdir={tmp_path / 'run'}", f"--output={path}"]) == 0
    assert capsys.readouterr().out.split() == [f"{path.stat().st_size:,}", "bytes", str(path)]
    assert {t.dtype for t in read_tensor_file(path).values()} == {np.dtype(np.float16)}
    config, again, read = load_single_file(path)
    assert again == model
    assert config.data.data_dir == "data"  # no path of this machine goes with it
    jax.tree.map(np.testing.assert_array_equal, read, load_authors(path, model, "ss"))
    found, expected = map(traverse_util.flatten_dict, (read, params))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value.astype(np.float16), err_msg=str(name))


def test_a_wrong_name_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match=r"'.*thin.pth' does not end in .safetensors"):
        write_single_file(tmp_path / "none", tmp_path / "thin.pth")


def test_values_that_half_precision_cannot_hold_are_refused(tmp_path):
    workdir = tmp_path / "run"
    _, params = finish(workdir, thin_config.get_config())
    large = jax.tree.map(lambda leaf: leaf + 70_000, params)
    checkpoints = checkpoint.Checkpoints(workdir / "checkpoints")
    checkpoints.save_best(8, large, 0.9)
    checkpoints.close()
    with pytest.raises(UserError, match=r"tensors, such as .*, hold values above 65,504"):
        write_single_file(workdir, tmp_path / "thin.safetensors")
    assert not (tmp_path / "thin.safetensors").exists()
