"""What is moved in fine-tuning, and the whole way from pretraining to diffusers."""

import contextlib
import shutil

import numpy as np
import programs
import pytest
from flax import traverse_util

from noise2map_jax import weights
from noise2map_jax.devices import checkpoint
from noise2map_jax.experiment.run import open_run
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


def best(workdir):
    """The kept parameters of a run, as arrays by name."""
    _, _, _, params = open_run(workdir)
    return {k: np.asarray(v) for k, v in traverse_util.flatten_dict(params, sep="/").items()}


def mixture(start, workdir, share):
    """What a run should keep: a share of its start's best, the rest of its last averages."""
    before = best(start)
    averages = latest(workdir)
    return {
        name: share * value + (1 - share) * averages[f"ema_params/{name}"]
        for name, value in before.items()
    }


MIXED = (*ADAMW, "--config.train.initial_share=0.25", "--config.train.eval_every_steps=4")


def test_a_share_of_the_initial_weights_is_kept_exported_and_survives_a_pause(
    program, start, tmp_path
):
    options = (*MIXED, f"--config.init_from={start}", "--config.init_parts=all")
    done = program(*options)
    assert "\nkept        0.75 x trained weights + 0.25 x those of init_from\n" in done.stdout
    expected, whole = mixture(start, tmp_path / "run", 0.25), best(tmp_path / "run")
    moved = 0
    for name, value in latest(tmp_path / "run").items():
        if name.startswith("ema_params/"):
            name = name.removeprefix("ema_params/")
            np.testing.assert_allclose(whole[name], expected[name], rtol=1e-5, atol=1e-7)
            moved += not np.allclose(whole[name], value, rtol=1e-4)
    assert moved > 3  # so it is not the averages alone

    # A run that stops on the way, and whose source is gone: the mixture is the same to the bit.
    paused, source = tmp_path / "paused", tmp_path / "source"
    shutil.copytree(start, source)
    arguments = (*MIXED, f"--config.init_from={source}", "--config.init_parts=all")
    program(*arguments, "--config.train.num_steps=2", workdir=paused)
    shutil.rmtree(source)
    program(*arguments, workdir=paused)
    again = best(paused)
    assert all(again[name].tobytes() == value.tobytes() for name, value in whole.items())
    # Eight devices, which split what is large, keep the same mixture.
    split = tmp_path / "split"
    program(*options, "--config.mesh.fsdp=4", workdir=split, num_devices=8)
    for name, value in best(split).items():
        np.testing.assert_allclose(value, whole[name], rtol=2e-3, atol=1e-4)
    # The share belongs to the run.
    refused = program(*arguments, "--config.train.initial_share=0.5", workdir=paused, expect=2)
    assert "train.initial_share" in refused.stderr

    export(tmp_path / "run", tmp_path / "exported")
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "0.75 x trained weights + 0.25 x those started from" in card


def test_of_a_head_that_begins_at_random_nothing_is_mixed_in(program, start, tmp_path):
    done = program(*MIXED, f"--config.init_from={start}", "--config.init_parts=backbone")
    averages, kept = latest(tmp_path / "run"), best(tmp_path / "run")
    expected = mixture(start, tmp_path / "run", 0.25)
    for name, value in kept.items():
        wanted = expected[name] if name.startswith("unet/") else averages[f"ema_params/{name}"]
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-7)
    num_drawn = sum(not name.startswith("unet/") for name in kept)
    assert num_drawn
    assert f"\nwarning     {num_drawn} tensors begin at random and are kept as" in done.stdout


def test_without_init_from_the_trained_weights_alone_are_kept(program, tmp_path):
    done = program(*MIXED)
    assert "trained weights alone: without init_from" in done.stdout
    averages, kept = latest(tmp_path / "run"), best(tmp_path / "run")
    for name, value in kept.items():
        np.testing.assert_array_equal(value, averages[f"ema_params/{name}"])


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
