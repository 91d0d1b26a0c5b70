"""Damaged sources: whatever is in a file, it becomes right records or a listed rejection."""

import json
import os
import subprocess
import sys

import programs
import pytest

from data_prep.miniatures.command import MINIATURES

ROUNDS = 7
# Options for each build; a builder that is not named here is fuzzed with its defaults.
OPTIONS = {
    "folder": [["--task=ss", "--mask_encoding=index"], ["--task=cd", "--mask_encoding=binary255"]],
    "spacenet7": [["--task=ss"], ["--task=cd"]],
    "whu": [["--task=ss"], ["--task=cd"]],
    "xview2": [["--resize=64"], ["--target=damage_levels", "--resize=64"]],
}
CASES = [
    pytest.param(name, options, id="-".join([name, *(o.lstrip("-") for o in options[:1])]))
    for name in ("folder", *sorted(MINIATURES))
    for options in OPTIONS.get(name, [[]])
]
# Errors of the whole build that damage may rightly cause.
WHOLE = ("no scene is left for", "cannot be divided into", "no val folder, and train has")
# Where a miniature holds several layouts for one task.
SUBFOLDERS = {("whu", "--task=ss"): "3. The cropped image tiles and raster labels"}
num_damaged = []


@pytest.mark.parametrize(("name", "options"), CASES)
def test_damage_becomes_right_records_or_a_listed_rejection(tmp_path, name, options):
    program = [
        sys.executable,
        str(programs.HELPERS / "fuzzing.py"),
        str(tmp_path / "work"),
        "1",
        str(ROUNDS),
    ]
    below = SUBFOLDERS.get((name, *options), ".")
    done = subprocess.run(
        [*program, name, below, "--tile_size=32", *options],
        env={
            "PYTHONPATH": f"{programs.ROOT}{os.pathsep}{programs.HELPERS}",
            "TMPDIR": str(tmp_path),
            # Memory is limited by addresses, and glibc sets 64 MiB of them apart for each of many
            # threads: 1.9 of the 2 GiB, where 0.2 are used. ArrayRecord hangs where a thread gets
            # none.
            "MALLOC_ARENA_MAX": "2",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == ROUNDS
    for report in reports:
        assert not report["wrong"], report
        assert report["code"] in (0, 2), report
        if report["code"] == 2:
            assert any(text in report["said"] for text in WHOLE), report
            assert "Traceback" not in report["said"]
        assert report["peak"] < 2 * 2**30
    assert sum(report["code"] == 0 for report in reports) >= ROUNDS // 2
    assert any(report["rejected"] for report in reports)
    num_damaged.append(sum(len(report["damaged"]) for report in reports))


def test_enough_was_damaged():
    """Only where all of the file ran."""
    if len(num_damaged) < len(CASES):
        pytest.skip(f"{len(num_damaged)} of {len(CASES)} cases ran here")
    assert sum(num_damaged) >= 300
