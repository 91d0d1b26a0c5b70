"""Bars name what they count, and leave a log readable; alike in both packages."""

import io
import re
import subprocess
import sys

import programs
import pytest

import data_prep.basics.progress
import noise2map_jax.progress

MODULES = (noise2map_jax.progress, data_prep.basics.progress)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(monkeypatch, module, stream, steps=3):
    monkeypatch.setattr(sys, "stderr", stream)
    with module.progress_bar(30, "reading", "files") as bar:
        for _ in range(steps):
            bar.update(10)
    return stream.getvalue()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_log_gets_lines(monkeypatch, module):
    text = show(monkeypatch, module, io.StringIO())
    assert text.startswith("reading: 30/30 files [")
    assert text.endswith(" files/s]\n")
    assert text.count("\n") == 1
    assert "\r" not in text
    assert show(monkeypatch, module, io.StringIO(), steps=1).startswith("reading: 10/30 files [")
    assert show(monkeypatch, module, io.StringIO(), steps=0).startswith("reading: 0/30 files [")

    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    lines = show(monkeypatch, module, io.StringIO()).splitlines()
    assert [line.split(" ")[1] for line in lines] == ["10/30", "20/30", "30/30", "30/30"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_terminal_gets_a_bar(monkeypatch, module):
    text = show(monkeypatch, module, Terminal())
    states = text.rstrip("\n").split("\r")
    assert states[1].startswith("reading:   0%|")
    assert "| 30/30 files [" in states[-1]
    assert text.endswith("\n")


def test_an_attempt_goes_on_counting(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with noise2map_jax.progress.progress_bar(30, "train", "images", initial=20) as bar:
        bar.set_postfix_str("F1 50 %", refresh=False)
        bar.update(10)
    assert sys.stderr.getvalue().startswith("train: 30/30 images [")
    assert sys.stderr.getvalue().endswith(" images/s, F1 50 %]\n")


def test_programs_tell_a_log_little(program, tmp_path):
    """Training, evaluation and data_prep; of a map see test_predict."""
    trained = program()
    assert bars(trained.stderr) == ["train: 160/160 images"]
    assert bars(program("--mode=eval").stderr) == [
        "temperature ss val: 11/11 tiles",
        "threshold ss val: 11/11 tiles",
        "eval ss test: 11/11 tiles",
    ]
    options = ("--task=ss", f"--data_dir={tmp_path}", "--num_scenes=4,1,1")
    drawn = subprocess.run(
        [sys.executable, "-m", "data_prep", "synthetic", *options, "--scene_size=32"],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert bars(drawn.stderr) == ["writing: 6/6 scenes"]


def bars(log):
    """The last line of each bar, without times; before it there is one in 30 seconds at most."""
    assert "\r" not in log
    assert log.endswith("\n")
    lines = [line for line in log.splitlines() if "/s]" in line or "/s," in line]
    last = {line.partition(": ")[0]: line for line in lines}
    for name, line in last.items():
        minutes, seconds = re.search(r"\[(\d+):(\d+)<", line).groups()
        most = 1 + (60 * int(minutes) + int(seconds)) // 30
        assert sum(line.startswith(f"{name}: ") for line in lines) <= most, log
    return [line.partition(" [")[0] for line in last.values()]
