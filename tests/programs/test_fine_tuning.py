"""What is moved in fine-tuning, and the whole way from pretraining to diffusers."""

import contextlib

import numpy as np
import programs
import pytest
from flax import traverse_util

from noise2map_jax import weights
from noise2map_jax.devices import checkpoint
from noise2map_jax.weights.export import export

ADAMW = (
    "--config.train.optimizer=adamw",
    "--config.train.weight_decay=0.1",
    "--config.train.max_gradient_norm=1.0",
    "--config.train.ema_decay=0.9",
    "--config.train.num_steps=4",
    "--config.train.eval_every_steps=2",
)


def latest(workdir):
    """Parameters and averages of the newest checkpoint, as arrays by name."""
    with contextlib.closing(checkpoint.Checkpoints(workdir / "checkpoints")) as checkpoints:
        state = checkpoints._latest.restore(checkpoints.latest_step())
    flat = traverse_util.flatten_dict(dict(state), sep="/")
    return {k: np.asarray(v) for k, v in flat.items() if k.split("/")[0].endswith("params")}


@pytest.fixture(scope="module")
def start(thin_data, cache, tmp_path_factory):
    """A run whose weights are begun with, after one step."""
    workdir = tmp_path_factory.mktemp("start") / "run"
    options = (
        "--config=tests/helpers/thin_config.py",
        f"--workdir={workdir}",
        f"--config.data.data_dir={thin_data}",
        "--config.train.num_steps=1",
    )
    programs.run(options, programs.environment(cache))
    return workdir


def test_a_frozen_backbone_does_not_move_by_one_bit(program, start, tmp_path):
    options = (*ADAMW, f"--config.init_from={start}", "--config.init_parts=all")
    done = program(*options, "--config.train.backbone_learning_rate_factor=0.0")
    assert ", frozen\n" in done.stdout
    before, after = latest(start), latest(tmp_path / "run")
    moved = set()
    for name, value in after.items():
        origin = before[name.replace("ema_params", "params")]
        if "/unet/" in name:
            assert value.tobytes() == origin.tobytes(), name
        elif (value != origin).any():
            moved.add(name.split("/")[1])
    assert moved == {"ss_input_conv", "ss_output_conv"}


@pytest.mark.long
def test_a_smaller_learning_rate_moves_the_backbone_less(program, start, tmp_path):
    moves = {}
    for factor in (1.0, 0.01):
        workdir = tmp_path / f"at{factor}"
        program(
            *ADAMW,
            f"--config.init_from={start}",
            "--config.init_parts=all",
            f"--config.train.backbone_learning_rate_factor={factor}",
            workdir=workdir,
        )
        before, after = latest(start), latest(workdir)
        moves[factor] = max(
            np.abs(value - before[name]).max()
            for name, value in after.items()
            if name.startswith("params/unet/")
        )
    assert 0 < moves[0.01] < 0.05 * moves[1.0]


def test_from_pretraining_to_diffusers(program, tmp_path):
    """Pretrain, begin with it, fine-tune, export, load in diffusers: the same outputs."""
    torch = pytest.importorskip("torch", reason="needs torch (extra 'parity')")
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (extra 'parity')")
    pretrained, fine_tuned = tmp_path / "pretrained", tmp_path / "fine_tuned"
    program(*programs.DENOISE, "--config.train.num_steps=2", workdir=pretrained)
    done = program(
        f"--config.init_from={pretrained}", "--config.train.num_steps=2", workdir=fine_tuned
    )
    assert f"tensors from the run {pretrained}" in done.stdout
    export(fine_tuned, tmp_path / "exported")
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "exported").eval()
    unet, params = weights.load_diffusers(tmp_path / "exported")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    ours = unet.apply({"params": params}, images, np.array([3, 700]))
    with torch.no_grad():
        nchw = torch.from_numpy(np.moveaxis(images, -1, 1))
        expected = theirs(nchw, torch.tensor([3, 700])).sample.numpy()
    np.testing.assert_allclose(ours, np.moveaxis(expected, 1, -1), atol=1e-4)
    # And the export begins another run, whole.
    done = program(
        f"--config.init_from={tmp_path / 'exported'}",
        "--config.init_parts=all",
        "--config.train.num_steps=1",
        workdir=tmp_path / "again",
    )
    assert "tensors from the export" in done.stdout
    assert "random: none" in done.stdout


def test_the_authors_file_begins_a_run(program, start, tmp_path):
    export(start, tmp_path / "exported")
    file = tmp_path / "exported" / "noise2map_ss.safetensors"
    options = (f"--config.init_from={file}", "--config.init_parts=all")
    done = program(*options, "--config.train.num_steps=1")
    assert f"tensors from the file {file} (SHA-256 " in done.stdout
    assert "random: none" in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--config.init_from=hf:ali97"], "hf:ali97"),
        (["--config.init_input=stretch"], "'stretch'; expected one of inflate, average"),
    ],
)
def test_what_cannot_be_begun_with_is_one_line(program, start, options, words):
    done = program(f"--config.init_from={start}", *options, expect=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
