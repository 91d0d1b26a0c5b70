"""A user's mistake is one line that names the thing, and an exit code of 2."""

import json
import subprocess
import sys

import programs
import pytest


def error_line(done):
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.rstrip().endswith(lines[0])
    return lines[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--config.trian.batch_size=8"], ["trian", "no such config field"]),
        (["--config.train.bacth_size=8"], ["bacth_size", "no such config field"]),
        (["--config.train.batch_size=eight"], ["batch_size", "eight"]),
        (["--config.noise.schedule=lineer"], ["'lineer'", "scaled_linear"]),
        (["--config.noise.mix=swap"], ["swap", "one image"]),
        (["--config.noise.kind=dirty"], ["dirty", "structured, clean"]),
        (["--config.noise.inference_timesteps=1000,"], ["1000", "T = 1000"]),
        (["--config.noise.min_contrast=1.0"], ["min_contrast is 1", "largest contrast"]),
        (["--config.noise.prediction_type=eps"], ["'eps'", "epsilon, sample, v_prediction"]),
        (["--config.data.scaling=auto"], ["'auto'", "value_range or manifest"]),
        (["--config.task=segment"], ["'segment'", "ss, cd, denoise"]),
        (["--config.task=cd"], ["task", "'ss'", "'cd'"]),
        (["--config.task=denoise", "--config.noise.mix=image"], ["'image'", "gaussian"]),
        (["--config.train.backbone_learning_rate_factor=-1.0"], ["-1"]),
        (["--config.data.dataset=nowhere"], ["'nowhere'", "thin_ss", "data_prep"]),
        (["--config.data.dtype=uint16"], ["dtype", "'uint8'", "'uint16'"]),
        (["--config.data.tile_size=64"], ["tile_size", "32", "64"]),
        (["--config.data.value_range=9.0,3.0"], ["value_range", "9.0"]),
        (["--config.data.value_range=9.0,3.0,1.0"], ["value_range", "two numbers"]),
        (["--config.train.batch_size=0"], ["batch of 0"]),
        (["--config.train.num_microbatches=3"], ["batch of 8", "3 micro-batches"]),
        (["--config.train.class_weights=1.0,2.0,3.0"], ["class_weights", "2 numbers"]),
        (["--config.train.optimizer=sgdd"], ["'sgdd'", "adam, adamw"]),
        (["--config.train.warmup_steps=-1"], ["warmup_steps is -1", "num_steps = 20"]),
        (["--config.train.ema_decay=1.0"], ["ema_decay is 1.0"]),
        (["--config.train.initial_share=1.0"], ["train.initial_share is 1.0"]),
        (
            ["--config.augment.crop_size=33", "--config.model.sample_size=0"],
            ["crop_size is 33", "32"],
        ),
        (
            [
                "--config.model.unet.block_out_channels=8,8",
                *("--config.augment.crop_size=31", "--config.model.sample_size=0"),
            ],
            ["31", "divisible"],
        ),
        (["--config.augment.zoom=0.5,2.0"], ["zoom begins at 0.5", "tiles have only 32"]),
        (["--config.augment.zoom=2.0,0.5"], ["zoom is (2.0, 0.5)", "least, most"]),
        (["--config.model.dtype=float16"], ["'float16'", "bfloat16"]),
        (["--config.model.unet.norm_num_groups=3"], ["norm_num_groups=3"]),
        (["--config.model.unet.attention_levels=2,"], ["level 2", "0 to 0"]),
        (["--mode=eval"], ["no run in", "train first"]),
        (["--config.seed=-1"], ["seed is -1"]),
        (["--config.noise.beta_end=2.0"], ["beta_end", "2"]),
        (["--config.augment.crop_size=16"], ["crop_size is 16", "sample_size=0"]),
        (["--num_processes=2"], ["--coordinator_address"]),
        (["--workdir=ftp://bucket/run"], ["ftp://", "s3://", "local"]),
        (["--mode=baselines", "--config.task=cd"], ["task 'ss'", "'cd'"]),
        (["--mode=evaluate"], ["mode", "evaluate"]),
        (["extra"], ["'extra'"]),
    ],
)
def test_mistakes_on_the_command_line(program, options, words):
    line = error_line(program(*options, expect=2))
    assert all(word in line for word in words), line


def test_a_batch_that_the_devices_cannot_share(program):
    line = error_line(program("--config.train.batch_size=12", expect=2, num_devices=8))
    assert "batch of 12" in line
    assert "8 devices" in line


def test_a_config_file_that_is_not_there(program):
    line = error_line(program("--config=configs/nothing.py", expect=2))
    assert "no config file 'configs/nothing.py'" in line


def test_a_config_imports_files_beside_it_and_those_of_the_project(program, tmp_path):
    (tmp_path / "neighbour.py").write_text(
        "from configs import demo_ss\n"
        "def get_config():\n"
        "    config = demo_ss.get_config()\n"
        "    config.data.data_dir = 'nowhere at all'\n"
        "    return config\n"
    )
    (tmp_path / "mine.py").write_text("from neighbour import get_config\n")
    env = programs.environment(tmp_path) | {"PYTHONPATH": str(programs.ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "noise2map_jax.main", "--config=mine.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "'nowhere at all'" in error_line(done)


def test_a_checkpoint_of_another_architecture(program, tmp_path):
    program("--config.train.num_steps=1")
    other = "--config.model.unet.block_out_channels=16,"
    line = error_line(program(other, expect=2))
    assert "model.unet.block_out_channels ([8], now [16])" in line
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    config["model"]["unet"]["block_out_channels"] = [16]
    path.write_text(json.dumps(config))
    line = error_line(program(other, expect=2))
    assert "another architecture" in line
    assert "unet/" in line
    assert "(8,)" in line
    assert "(16,)" in line


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(program, tmp_path):
    # The rate rises: after one update the parameters are finite, but not what comes of them.
    rises = ("--config.train.learning_rate=1e18", "--config.train.warmup_steps=15")
    for _ in range(2):  # and again, from the checkpoint
        line = error_line(program(*rises, "--config.train.checkpoint_every_steps=1", expect=2))
        assert 1 < int(line.split("step ")[1].split(":")[0]) <= 5
        assert "nan" in line or "inf" in line
        kept = [p.name for p in (tmp_path / "run" / "checkpoints" / "latest").iterdir()]
        assert kept == ["1"]


def test_updates_can_be_skipped_so_many_times_before_the_run_stops(program, tmp_path):
    options = ("--config.train.max_skipped_updates=3", "--config.train.num_steps=12")
    # A gradient is never this small: every update is skipped.
    line = error_line(program(*options, "--config.train.skip_above_gradient_norm=1e-9", expect=2))
    assert "step 4: " in line
    assert "after 3 skipped updates" in line
    workdir = tmp_path / "other"
    program(*options, "--config.train.skip_above_gradient_norm=1e9", workdir=workdir)
    assert list(programs.metrics(workdir)) == list(range(1, 13))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def get_config(:\n", ["line 1", "invalid syntax"]),
        (
            "from configs import default\n\n\ndef get_config():\n"
            "    return default.get_config().trian\n",
            ["line 5", "trian"],
        ),
    ],
)
def test_a_mistake_in_a_config_file_is_named_with_its_line(program, tmp_path, text, words):
    path = tmp_path / "mine.py"
    path.write_text(text)
    line = error_line(program(f"--config={path}", expect=2))
    assert all(word in line for word in [str(path), *words]), line
    assert "no such config field" not in line
