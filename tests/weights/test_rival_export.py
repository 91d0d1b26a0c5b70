"""A rival leaves under PyTorch's names, and is read back exactly."""

import json
import re

import jax
import numpy as np
import pytest
from finished_runs import finish
from flax import traverse_util
from safetensors.numpy import load_file, save_file
from thin_rivals import config_of

import noise2map_jax
from noise2map_jax.errors import UserError
from noise2map_jax.network.statistics import variables
from noise2map_jax.networks.torch_names import to_torch
from noise2map_jax.weights import hub
from noise2map_jax.weights.__main__ import main
from noise2map_jax.weights.export import export, load_export
from noise2map_jax.weights.single_file import write_single_file

FILES = ["README.md", "model.safetensors", "noise2map.json"]


def assert_same(actual, expected):
    actual, expected = map(traverse_util.flatten_dict, (actual, expected))
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(actual[path], value, err_msg=str(path))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a U-Net, with scores, and its parameters."""
    workdir = tmp_path_factory.mktemp("run")
    config = config_of("unet", "/somewhere/private/data")
    config.model.scaling = "imagenet"
    model, params = finish(workdir, config)
    (workdir / "report").mkdir()
    scores = {
        "protocol": "protocol of test",
        "step": 7,
        "inference_timesteps": [999],
        "scores": {"all tiles": {"tiles": 11, "f1/building": 0.5, "iou/building": 0.25}},
    }
    (workdir / "report" / "scores_test.json").write_text(json.dumps(scores))
    return workdir, model, params


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("published") / "weights"
    export(run[0], output)
    return output


def test_a_file_of_half_precision_is_for_noise2map_alone(run, tmp_path):
    with pytest.raises(UserError, match="of half precision is for Noise2Map"):
        write_single_file(run[0], tmp_path / "thin.safetensors")


def test_it_is_read_back_exactly(run, folder):
    _, model, params = run
    assert sorted(path.name for path in folder.iterdir()) == FILES
    config, again, read = load_export(folder)
    assert again == model
    assert_same(read, params)
    assert config.data.data_dir == "data"
    assert b"somewhere" not in (folder / "noise2map.json").read_bytes()
    loaded = noise2map_jax.load(folder)
    assert_same(jax.device_get(loaded.params), params)
    assert loaded.network == model


def test_names_are_those_of_pytorch(run, folder):
    tensors = load_file(folder / "model.safetensors")
    expected = to_torch(variables(run[2]))
    assert tensors.keys() == expected.keys()
    assert {
        "encoder.layer1.0.bn1.running_var",
        "decoder.blocks.0.conv1.0.weight",
        "segmentation_head.0.bias",
    } <= tensors.keys()
    kernel = run[2]["encoder"]["conv1"]["kernel"]
    np.testing.assert_array_equal(tensors["encoder.conv1.weight"], kernel.transpose(3, 2, 0, 1))


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_card_says_what_it_is(run, folder):
    card = (folder / "README.md").read_text()
    params = {name: tree for name, tree in run[2].items() if name != "batch_stats"}
    for words in (
        "# unet (resnet34): ss",
        "- unet",
        "- semantic-segmentation",
        "| `model.safetensors` | the network (float32), with the names of segmentation_models.pyto",
        "divided by the standard deviation of ImageNet",
        f"| backbone | {count(params['encoder']):,} parameters |",
        f"| all | {count(params):,} parameters |",
        "| noise | none: the network gets the clean input |",
        "Checkpoint of step 7.\n",
        "protocol of test",
    ):
        assert words in card, words
    for words in ("diffusers", "noise.schedule", "bibtex", "predicted at t"):
        assert words not in card


def test_the_code_of_the_card_runs(folder, tmp_path):
    card = (folder / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks[:2]:  # the third needs torch
        exec(block.replace("FOLDER", str(folder)), {})


@pytest.mark.parametrize(
    "name", ["bit", "changeformer", "elgcnet", "changemamba", "rs3mamba", "dpt", "ddpmcd"]
)
def test_names_of_other_networks_lead_back_too(name, tmp_path):
    config = config_of(name)
    config.data.tile_size = 64
    config.model.unet.block_out_channels = (8, 8)  # the denoiser of ddpmcd
    _, params = finish(tmp_path / "run", config)
    export(tmp_path / "run", tmp_path / "weights")
    assert_same(load_export(tmp_path / "weights")[2], params)


def test_an_export_of_another_network_is_replaced(run, tmp_path):
    config = config_of("unet")
    config.model.name, config.model.options = "noise2map", ""
    _, params = finish(tmp_path / "run", config)
    output = tmp_path / "weights"
    export(tmp_path / "run", output)
    export(run[0], output)
    assert sorted(path.name for path in output.iterdir()) == FILES
    export(tmp_path / "run", output)
    assert not (output / "model.safetensors").exists()
    assert_same(load_export(output)[2], params)


def test_it_is_not_split_and_not_read_if_damaged(run, tmp_path, capsys):
    output = tmp_path / "weights"
    command = ["export", f"--workdir={run[0]}", f"--output={output}"]
    assert main([*command, "--max_shard_size=20KB"]) == 2
    assert "20,000 bytes, but unet is exported as one file; leave it out" in capsys.readouterr().err
    assert not output.exists()
    assert main(command) == 0
    assert [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()] == FILES
    tensors = load_file(output / "model.safetensors")
    del tensors["encoder.bn1.running_mean"]
    save_file(tensors, output / "model.safetensors")
    with pytest.raises(UserError, match=r"tensors missing: encoder\.bn1\.running_mean"):
        load_export(output)


def test_inspect_counts(run, folder, capsys):
    parameters, statistics = count(run[2]), count(run[2]["batch_stats"])
    assert main(["inspect", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert f"{folder}: folder with model.safetensors" in shown
    assert f"{parameters - statistics:,} parameters, {statistics:,} statistics of batch n" in shown
    assert re.search(rf"  decoder +{count(run[2]['decoder']):,}\n", shown)
    assert "export of a run: step 7, full models of ss" in shown


def test_the_hub_gives_its_files(folder):
    kept = {path.name for name in hub.FILES for path in folder.glob(name)}
    assert kept == {"model.safetensors", "noise2map.json"}
    assert "model.safetensors" in hub.MARKS
