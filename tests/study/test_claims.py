import subprocess
import sys
import types

import pytest

from noise2map_jax.buckets import names
from noise2map_jax.buckets.address import Address
from noise2map_jax.study import claims
from noise2map_jax.study.claims import claim

HOLD = (
    "import sys, time, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire();"
    "print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def study(tmp_path):
    return types.SimpleNamespace(workdir=tmp_path)


@pytest.fixture
def other(study):
    """Another process that holds the part `paper-0`."""
    folder = study.workdir / claims.FOLDER
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder / "paper-0.lock")], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_what_another_process_holds_is_left_to_it(study, other):
    with claim(study, "paper-0", wait=False) as held:
        assert not held
    with claim(study, "paper-1", wait=False) as held:
        assert held


def test_several_parts_are_held_together_or_not_at_all(study, other):
    with claim(study, "clean-0", "paper-0", wait=False) as held:
        assert not held
        lock = claims.filelock.FileLock(study.workdir / claims.FOLDER / "clean-0.lock")
        lock.acquire(timeout=0)  # it was given back
        lock.release()
    other.kill()
    other.wait()
    with claim(study, "clean-0", "paper-0", wait=False) as held:
        assert held
        lock = claims.filelock.FileLock(study.workdir / claims.FOLDER / "paper-0.lock")
        with pytest.raises(claims.filelock.Timeout):
            lock.acquire(timeout=0)


def test_what_a_killed_process_held_is_free(study, other):
    other.kill()
    other.wait()
    with claim(study, "paper-0", wait=True) as held:
        assert held


def test_waiting_is_said(study, other, monkeypatch, capsys):
    say = capsys.readouterr
    whole = claims.filelock.FileLock.acquire

    def acquire(lock, timeout=None):
        if timeout is None:  # without an end; here the other process ends instead
            assert "waiting     for another process, which has paper-0" in say().out
            other.kill()
            other.wait()
        return whole(lock, timeout)

    monkeypatch.setattr(claims.filelock.FileLock, "acquire", acquire)
    with claim(study, "paper-0", wait=True) as held:
        assert held


def test_a_part_is_free_after_an_error(study):
    with pytest.raises(ZeroDivisionError), claim(study, "paper-0", wait=False):
        1 / 0  # noqa: B018
    with claim(study, "paper-0", wait=False) as held:
        assert held


def test_copies_of_a_bucket_are_not_shared(study, other, monkeypatch):
    monkeypatch.setitem(names._COPIES, study.workdir, Address("gs", "bucket", "runs"))
    with claim(study, "paper-0", wait=False) as held:
        assert held
