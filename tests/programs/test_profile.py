"""A run that records some of its steps, and one that says which process the others wait for."""

import csv
import json
import re

import programs
import pytest
import slow_reader_config
import study_config
from programs import metrics

from noise2map_jax.errors import UserError
from noise2map_jax.study.study import create_study

OPTIONS = ("--config.train.num_steps=6", "--config.train.eval_every_steps=6")
EXACT = ("train/loss", "train/gradient_norm", "train/params_norm", "val/loss")


def rows(workdir):
    with (workdir / "profile" / "parts.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_time_of_recorded_steps_is_told_by_part_and_nothing_else_changes(program, tmp_path):
    plain, recorded = tmp_path / "plain", tmp_path / "recorded"
    program(*OPTIONS, workdir=plain)
    assert not (plain / "profile").exists()
    options = (*OPTIONS, "--config.train.profile_steps=3,5", "--config.train.write_report=True")
    out = program(*options, workdir=recorded).stdout
    page = (recorded / "report" / "index.html").read_text()
    assert "down_blocks_0 backward" in page[page.index('id="profile"') :]
    for name in EXACT:
        assert metrics(plain, name) == metrics(recorded, name)
    parts = {(row["part"], row["direction"]): float(row["ms_a_step"]) for row in rows(recorded)}
    for name in ("down_blocks_0", "mid_block", "up_blocks_0", "conv_in", "ss_output_conv"):
        assert parts[name, "forward"] > 0
        assert parts[name, "backward"] > 0
    for name in ("inputs", "optimizer", "no operation runs"):
        assert parts[name, ""] > 0
    assert parts.get(("not attributed", ""), 0.0) < 0.5 * sum(parts.values())
    whole = float(re.search(r"time of steps 3 to 4 went: ([\d.]+) ms a step", out)[1])
    assert sum(parts.values()) == pytest.approx(whole, abs=0.01)
    assert sum(float(row["share"]) for row in rows(recorded)) == pytest.approx(1, abs=1e-4)
    assert list(parts.values()) == sorted(parts.values(), reverse=True)
    (session,) = (recorded / "profile" / "plugins" / "profile").iterdir()
    assert len(list(session.glob("*.xplane.pb"))) == len(list(session.glob("*.trace.json.gz"))) == 1


def test_steps_beyond_the_last_are_an_error_before_anything_is_trained(program, tmp_path):
    done = program(*OPTIONS, "--config.train.profile_steps=5,8", expect=2)
    assert "train.profile_steps is [5, 8); expected 1 <= first < last + 1 <= 7" in done.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_study_records_nothing(thin_data, tmp_path):
    config = study_config.get_config()
    config.data.data_dir = str(thin_data)
    config.train.profile_steps = (1, 2)
    with pytest.raises(UserError, match="a study records no profile"):
        create_study(config, tmp_path)


def test_the_process_that_the_others_wait_for_is_named(thin_data, cache, tmp_path):
    workdir = tmp_path / "run"
    arguments = (
        "--config=tests/helpers/slow_reader_config.py",
        f"--config.data.data_dir={thin_data}",
        f"--workdir={workdir}",
        *OPTIONS,
        "--config.train.profile_steps=3,5",
    )
    first, other = programs.run_together(arguments, programs.environment(cache), 2)
    named = [line for line in first.splitlines() if "is the slowest" in line]
    assert len(named) == 1  # not again as long as it is the same
    assert "process 1 is the slowest" in named[0]
    assert "is the slowest" not in other
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    found = [line for line in lines if "train/slowest_process" in line]
    assert found
    for line in found:
        assert line["train/slowest_process"] == 1
        # It sleeps at least that long for each batch, however busy the machine is.
        assert line["train/slowest_process_waiting"] >= 0.99 * slow_reader_config.SECONDS
        assert line["train/slowest_process_seconds"] > 0
    # Each records a profile of its own; the first tells.
    for process in range(2):
        folder = workdir / "profile" / f"process_{process}"
        assert len(list(folder.glob("plugins/profile/*/*.xplane.pb"))) == 1
    assert "where the time of steps 3 to 4 went" in first
    assert "where the time" not in other
    assert rows(workdir)
