"""The second of two signals is listened to even where Python itself has no turn."""

import signal
import subprocess
import sys

import programs
import pytest

# Hashing holds the main thread for hours, as compiling does for minutes.
PROGRAM = """
import hashlib
from noise2map_jax.preemption import PreemptionWatch
with PreemptionWatch() as watch:
    assert not watch.reached(0)
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_run_at_once(second):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=programs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # as a launcher does, to a process and to its group
        assert process.stderr.readline() == "\n"
        line = process.stderr.readline()
        assert "a second signal ends at once, unsaved" in line
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(second)
        assert process.wait(timeout=30) == 128 + second
    finally:
        process.kill()
        process.communicate()


def test_signals_are_as_before_when_it_does_not_listen_any_more():
    from noise2map_jax.preemption import PreemptionWatch

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with PreemptionWatch():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1
