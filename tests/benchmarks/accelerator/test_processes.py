"""How the process of a part ends, and that it does."""

import os
import subprocess
import sys
import time
import types

import measured_calls
import programs
import pytest

from benchmarks.accelerator import processes
from benchmarks.accelerator.processes import FAILED, MEASURED, NO_TIME, NOT_POSSIBLE, Ending


def gone(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("function", "ending"),
    [
        (measured_calls.finds_two, Ending(MEASURED)),
        (measured_calls.has_no_time, Ending(NO_TIME, "batches of 8 and more")),
        (measured_calls.cannot, Ending(NOT_POSSIBLE, "there is no such device")),
        (measured_calls.fails, Ending(FAILED, "ValueError: the first line")),
        (
            measured_calls.is_killed,
            Ending(FAILED, "its process ended by signal 9; the machine may lack memory"),
        ),
    ],
)
def test_how_a_process_ends(function, ending):
    sent = []
    found = processes.call(function, 7, time.monotonic() + 60, sent.append)
    assert (found.state, found.reason) == (ending.state, ending.reason)
    assert ("Traceback" in found.trace) == (function is measured_calls.fails)
    if function is measured_calls.finds_two:
        assert sent[0] == {"argument": 7}
        assert sent[1]["process"] != os.getpid()
        assert gone(sent[1]["process"])
    if function in (measured_calls.has_no_time, measured_calls.is_killed):
        assert sent == [{"so": "far"}]


def test_a_process_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(processes, "SECONDS_TO_END", 0.2)
    sent = []
    clock = types.SimpleNamespace(monotonic=lambda: 100.0 * len(sent))
    monkeypatch.setattr(processes, "time", clock)
    found = processes.call(measured_calls.hangs, None, 60.0, sent.append)
    assert found == Ending(NO_TIME, "stopped in the middle of a measurement")
    assert gone(sent[0]["process"])


CALL = """
import time
import measured_calls
from benchmarks.accelerator import processes
processes.call(measured_calls.hangs, None, time.monotonic() + 600, lambda f: print(f["process"]))
"""


def test_a_process_does_not_outlive_the_command_that_is_killed():
    """Or the next call would measure beside it."""
    command = subprocess.Popen(
        [sys.executable, "-u", "-c", CALL],
        cwd=programs.ROOT,
        env=os.environ | {"PYTHONPATH": str(programs.HELPERS), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
    )
    process = int(command.stdout.readline())
    assert not gone(process)
    command.kill()
    command.wait()
    command.stdout.close()
    deadline = time.monotonic() + 60
    while not gone(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)
