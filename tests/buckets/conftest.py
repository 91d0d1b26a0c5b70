import memory_storage
import object_storage
import pytest

from noise2map_jax.buckets import store
from noise2map_jax.buckets.address import parse


@pytest.fixture(scope="session", params=["s3", "gs"])
def storage(request):
    """Emulators in processes of their own, shared by all tests; each test has its own folder."""
    emulator = object_storage.ObjectStorage(request.param)
    yield emulator
    emulator.stop()


@pytest.fixture
def memory(monkeypatch):
    """Let every `Store` be in memory."""
    files = memory_storage.Memory()
    monkeypatch.setattr(store, "_open", lambda scheme: (files, store._Errors((), (), ())))
    return files


@pytest.fixture
def address():
    return parse("s3://bucket/runs/a")
