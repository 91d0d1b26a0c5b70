"""A finished run leaves as a folder that diffusers, PyTorch and this project load."""

import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import thin_config
from finished_runs import finish
from flax import traverse_util
from programs import ROOT
from safetensors.numpy import load_file, save_file

from configs import default
from noise2map_jax.errors import UserError
from noise2map_jax.weights import WEIGHTS_FILE, load_authors, load_diffusers
from noise2map_jax.weights.__main__ import main
from noise2map_jax.weights.export import export, load_export

SCORES = {
    "protocol": "thin_ss 1.0.0, split test: 11 tiles of 32 x 32 from 11 scenes; by scene",
    "step": 7,
    "inference_timesteps": [999],
    "differs_from_training": [],
    "scores": {
        "all tiles": {
            "tiles": 11,
            "f1/foreground": 0.8125,
            **{f"{m}/{c}": 0.8125 for m in ("f1", "iou") for c in ("background", "building")},
            **{f"{m}/mean": 0.5 for m in ("f1", "iou", "precision", "recall")},
            **{f"{m}/building": float("nan") for m in ("precision", "recall")},
            "accuracy": 0.9,
        }
    },
}


def config_of(task="ss", sample_size=32):
    config = thin_config.get_config()
    config.task, config.model.sample_size = task, sample_size
    config.data.data_dir = "/somewhere/private/data"
    config.init_from = "/somewhere/private/runs/pretrained"
    if task == "cd":
        config.data.classes = ("no_change", "change")
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of segmentation whose tiles are resampled, and its parameters."""
    workdir = tmp_path_factory.mktemp("run")
    model, params = finish(workdir, config_of(sample_size=16))
    (workdir / "report").mkdir()
    (workdir / "report" / "scores_test.json").write_text(json.dumps(SCORES))
    return workdir, model, params


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("published") / "weights"
    export(run[0], output)
    return output


def assert_same(actual, expected):
    actual, expected = map(traverse_util.flatten_dict, (actual, expected))
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(actual[path], value, err_msg=str(path))


def test_the_command_says_what_it_wrote(run, tmp_path):
    output = tmp_path / "weights"
    command = [sys.executable, "-m", "noise2map_jax.weights", "export"]
    command += [f"--workdir={run[0]}", f"--output={output}", "--max_shard_size=20KB"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = [line.rpartition("/")[2] for line in done.stdout.splitlines()]
    assert names == sorted(path.name for path in output.iterdir())
    assert set(names) > {"README.md", "config.json", "noise2map.json", "noise2map_ss.safetensors"}
    assert len([name for name in names if re.match(r"diffusion_pytorch_model-\d+-of-", name)]) > 2
    assert_same(load_export(output)[2], run[2])


def test_every_file_holds_the_best_parameters(run, folder):
    _, model, params = run
    unet, backbone = load_diffusers(folder)
    assert unet.config.sample_size == 16
    assert_same(backbone, params["unet"])
    assert_same(load_authors(folder / "noise2map_ss.safetensors", model, "ss"), params)
    config, again, whole = load_export(folder)
    assert again == model
    assert_same(whole, params)
    assert config.data.data_dir == "data"
    assert config.init_from == "pretrained"
    assert json.loads((folder / "noise2map.json").read_text())["step"] == 7
    for path in folder.iterdir():
        assert b"somewhere" not in path.read_bytes()


def test_the_card_says_what_it_is(folder):
    card = (folder / "README.md").read_text()
    for words in (
        "library_name: noise2map_jax",
        "pipeline_tag: image-segmentation",
        "- semantic-segmentation",
        "The license is not chosen yet",
        "step 7, which scored best on validation",
        "| started from | `pretrained` |",
        "| data.dataset | thin_ss |",
        "| data.classes | 0 = background; 1 = building |",
        "| data.value_range | 0, 255 |",
        "| noise.schedule | linear |",
        SCORES["protocol"],
        "Checkpoint of step 7, predicted at t = 999.",
        "On all tiles (11 tiles):",
        "| building | 81.25 | 81.25 | n/a | n/a |",
        '"learning_rate": 0.003',
        "arXiv:2604.27889",
        "| `noise2map_ss.safetensors` | the full model for `ss`",
    ):
        assert words in card, words
    assert "Not evaluated" not in card
    assert "not scores of the weights here" not in card


def test_the_hub_accepts_the_card(folder):
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub (the extra 'hub')")
    data = hub.ModelCard.load(folder / "README.md").data
    assert data.library_name == "noise2map_jax"
    assert data.pipeline_tag == "image-segmentation"
    assert "remote-sensing" in data.tags
    assert data.license is None


@pytest.mark.filterwarnings("ignore")  # those of torch and diffusers are not ours
def test_the_code_of_the_card_runs(run, folder):
    pytest.importorskip("torch", reason="needs torch (extra 'parity')")
    pytest.importorskip("diffusers", reason="needs diffusers (extra 'parity')")
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block.replace("FOLDER", str(folder)), {})


def test_diffusers_computes_the_same(run, folder):
    torch = pytest.importorskip("torch", reason="needs torch (extra 'parity')")
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (extra 'parity')")
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    timesteps = np.array([5, 999])
    theirs = diffusers.UNet2DModel.from_pretrained(folder).eval()
    with torch.no_grad():
        y = theirs(torch.tensor(np.moveaxis(x, -1, 1).copy()), torch.tensor(timesteps)).sample
    unet, params = load_diffusers(folder)
    ours = jax.jit(unet.apply)({"params": params}, x, timesteps)
    np.testing.assert_allclose(ours, np.moveaxis(y.numpy(), 1, -1), rtol=0, atol=1e-4)


def test_an_export_is_replaced(run, tmp_path):
    workdir = tmp_path / "cd"
    _, params = finish(workdir, config_of("cd"), step=9)
    output = tmp_path / "weights"
    export(run[0], output)
    export(workdir, output)
    names = {path.name for path in output.iterdir()}
    assert names == {
        *("README.md", "config.json", "noise2map.json", "noise2map_cd.safetensors", WEIGHTS_FILE)
    }
    assert_same(load_export(output)[2], params)
    card = (output / "README.md").read_text()
    assert "Not evaluated." in card
    assert "- change-detection" in card


def test_several_tasks_over_one_backbone(tmp_path):
    ss, cd = config_of("ss", sample_size=16), config_of("cd", sample_size=16)
    cd.data.num_bands = 4
    config = default.multitask(ss, {"ss": ss, "cd": cd})
    model, params = finish(tmp_path / "run", config)
    (tmp_path / "run" / "report").mkdir()
    for task in ("ss", "cd"):
        path = tmp_path / "run" / "report" / f"scores_test_{task}.json"
        path.write_text(json.dumps(SCORES | {"protocol": f"protocol of {task}"}))
    output = tmp_path / "weights"
    export(tmp_path / "run", output)
    assert len(list(output.glob("noise2map_*.safetensors"))) == 2
    _, again, whole = load_export(output)
    assert again == model
    assert_same(whole, params)
    for task in ("ss", "cd"):
        alone = load_authors(output / f"noise2map_{task}.safetensors", model, task)
        expected = {k: v for k, v in params.items() if k == "unet" or k.startswith(task)}
        assert_same(alone, expected)
    card = (output / "README.md").read_text()
    words = ("# Noise2Map: cd, ss", "- change-detection", "- semantic-segmentation")
    words += ("protocol of ss", "protocol of cd", "8, 2 channels", "3, 2 channels")
    for word in words:
        assert word in card, word
    assert "somewhere" not in card


def test_a_denoiser_without_projections_is_a_backbone(tmp_path):
    config = config_of("denoise")
    _, params = finish(tmp_path / "run", config)
    assert set(params) == {"unet"}
    export(tmp_path / "run", tmp_path / "weights")
    assert not list((tmp_path / "weights").glob("noise2map_*.safetensors"))
    assert_same(load_export(tmp_path / "weights")[2], params)
    card = (tmp_path / "weights" / "README.md").read_text()
    assert "pipeline_tag: unconditional-image-generation" in card
    assert "data.classes" not in card


def test_scores_of_other_weights_are_told(tmp_path):
    finish(tmp_path / "run", config_of(), step=8)
    report = tmp_path / "run" / "report"
    report.mkdir()
    (report / "scores_test.json").write_text(json.dumps(SCORES))
    export(tmp_path / "run", tmp_path / "weights")
    card = (tmp_path / "weights" / "README.md").read_text()
    assert "scores of the weights here**, which are of step 8: evaluate again." in card
    (report / "scores_val.json").write_text("{}")
    with pytest.raises(UserError, match=r"scores_val\.json lacks scores of --mode=eval \(protocol"):
        export(tmp_path / "run", tmp_path / "weights")


def test_damaged_exports_are_refused(run, tmp_path):
    output = tmp_path / "weights"
    with pytest.raises(
        UserError, match=r"weights: not an export of a run: it has no noise2map\.js"
    ):
        load_export(output)
    export(run[0], output)
    file = output / "noise2map.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"format": 2}))
    with pytest.raises(UserError, match=r"noise2map\.json: format is 2, expected 1 and a config"):
        load_export(output)
    file.write_text(json.dumps(content))
    tensors = load_file(output / "noise2map_ss.safetensors")
    del tensors["output_conv.bias"]
    save_file(tensors, output / "noise2map_ss.safetensors")
    with pytest.raises(UserError, match=r"1 missing: output_conv\.bias"):
        load_export(output)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "--workdir={run}", "--output={run}"], "holds other files, but no export (nois"),
        (
            ["export", "--workdir={run}", "--output={run}/config.json"],
            "config.json' is not a folder",
        ),
        (["export", "--workdir={tmp}", "--output={tmp}/a"], "it has no config.json; train first"),
        (
            ["export", "--workdir={run}", "--output={tmp}/a", "--max_shard_size=1TB"],
            "size is '1TB'",
        ),
        (["export", "--workdir={run}", "--output={tmp}/a", "--max_shard_size=0"], "1 byte or more"),
        (["export", "--workdir={run}", "--output=/proc/a"], "/proc/a: No such file or directory"),
        (["inspect", "{tmp}/nothing"], "nothing: no such file or folder; expected weights"),
        (["inspect", "{tmp}"], "config.json: no such file; expected a folder saved by diffusers"),
        (["inspect", "{tmp}/a.pth"], "a.pth: not a file of torch.save; expected a zip archive"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, capsys, arguments, words):
    (tmp_path / "a.pth").write_text("text")
    assert main([a.format(run=run[0], tmp=tmp_path) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("arguments", [[], ["export"], ["inspect"], ["export", "--work=a"], ["x"]])
def test_unknown_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_inspect_counts(folder, capsys):
    assert main(["inspect", str(folder)]) == 0
    shown = capsys.readouterr().out
    tensors = load_file(folder / WEIGHTS_FILE)
    total = sum(tensor.size for tensor in tensors.values())
    assert f"{len(tensors)} tensors ({len(tensors)} float32), {total:,} parameters" in shown
    assert "block_out_channels = (8,)" in shown
    assert "export of a run: step 7, full models of ss" in shown
    assert main(["inspect", str(folder / "noise2map_ss.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"  unet +{total:,}\n", shown)
    assert re.search(r"  input_upscaling +84\n", shown)


def test_what_patches_and_a_share_of_the_scenes_change_is_told(tmp_path):
    config = config_of(sample_size=0)
    config.model.patch_size, config.train.scene_share = 2, 0.25
    config.train.share_by_place = True
    _, params = finish(tmp_path / "run", config)
    output = tmp_path / "weights"
    export(tmp_path / "run", output)
    # The backbone sees half the side of a tile.
    assert json.loads((output / "config.json").read_text())["sample_size"] == 16
    card = (output / "README.md").read_text()
    assert "| tile side in the network | 32 pixels, patches of 2 x 2 as one" in card
    assert "| share of the training scenes | 0.25, places in turn |" in card
    loaded_config, model, loaded = load_export(output)
    assert (loaded_config.model.patch_size, model.patch_size) == (2, 2)
    assert_same(loaded, params)
