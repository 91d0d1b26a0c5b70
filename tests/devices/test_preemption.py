"""The second of two signals is listened to even where Python itself has no turn."""

import signal
import subprocess
import sys

import programs
import pytest

# Hashing holds the main thread for hours, as compiling does for minutes.
PROGRAM = """
import hashlib
from noise2map_jax.devices import preemption
preemption.ONE_SIGNAL = 2  # seconds: processes of a test may wait for a processor
with preemption.PreemptionWatch() as watch:
    assert not watch.reached(0)
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def test_a_second_signal_ends_a_run_at_once():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=programs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        for number in (signal.SIGTERM, signal.SIGINT):  # at once, they are one
            process.send_signal(number)
        assert process.stderr.readline() == "\n"
        line = process.stderr.readline()
        assert "a second signal stops at once, unsaved" in line
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 128 + signal.SIGINT
    finally:
        process.kill()
        process.communicate()


def test_signals_are_as_before_when_it_does_not_listen_any_more():
    from noise2map_jax.devices.preemption import PreemptionWatch

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with PreemptionWatch():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1
