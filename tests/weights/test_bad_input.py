"""What users get wrong with weights: one line each, that names it and says what to do."""

import json
import shutil

import numpy as np
import programs
import pytest
import torch_archives as archives
from safetensors.numpy import load_file, save_file

from noise2map_jax.errors import UserError
from noise2map_jax.weights import WEIGHTS_FILE, fetch, load_diffusers, read_torch

CHURCH = programs.ROOT / "tests" / "golden" / "church_thin"


def without_config(folder):
    (folder / "config.json").unlink()
    load_diffusers(folder)


def another_shape(folder):
    tensors = load_file(folder / WEIGHTS_FILE)
    tensors["conv_in.weight"] = np.zeros((4, 4, 3, 3), np.float32)
    save_file(tensors, folder / WEIGHTS_FILE)
    load_diffusers(folder)


def truncated(folder):
    data = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(data[: len(data) // 2])
    load_diffusers(folder)


def unknown_block(folder):
    config = json.loads((folder / "config.json").read_text())
    config["down_block_types"][1] = "SkipDownBlock2D"
    (folder / "config.json").write_text(json.dumps(config))
    load_diffusers(folder)


def without_network(folder):
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub (the extra 'hub')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        fetch("hf:nobody/nothing/aid-10k")


def foreign_objects(folder):
    read_torch(archives.save(folder / "a.pth", archives.name("numpy", "ndarray")))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (without_config, ("config.json: no such file", "expected a folder saved by diffusers")),
        (another_shape, ("conv_in.weight [4, 4, 3, 3] instead of [4, 3, 3, 3]",)),
        (truncated, (f"{WEIGHTS_FILE}: not a complete safetensors file", "copy it again")),
        (unknown_block, ("SkipDownBlock2D", "expected only DownBlock2D and AttnDownBlock2D")),
        (without_network, ("hub cannot be reached", "download the folder elsewhere and give its")),
        (foreign_objects, ("a.pth: holds 'numpy.ndarray'", "torch.save(model.state_dict()")),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(tmp_path, mistake, words):
    folder = shutil.copytree(CHURCH, tmp_path / "weights")
    with pytest.raises(UserError) as error:
        mistake(folder)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
