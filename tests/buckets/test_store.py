"""The same operations on both kinds of storage, and what is said when they cannot be used."""

import sys
import threading
import time

import fsspec.registry  # noqa: F401
import object_storage
import pytest

from noise2map_jax.buckets import store
from noise2map_jax.buckets.address import parse
from noise2map_jax.buckets.store import BucketError, Store
from noise2map_jax.errors import UserError


@pytest.fixture
def open_store(storage, monkeypatch):
    object_storage.use(monkeypatch, storage.variables)
    return lambda path: Store(parse(f"{storage.scheme}://{path}"))


def line(error):
    text = str(error.value)
    assert "\n" not in text
    assert "of-a-test" not in text  # credentials
    return text


def test_objects_are_written_listed_read_and_removed(open_store, tmp_path):
    place = open_store("bucket/objects")
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"")
    place.put({"x/a.txt": tmp_path / "a", "b": tmp_path / "b", "y/z/c": tmp_path / "a"})
    assert place.sizes() == {"x/a.txt": 5, "b": 0, "y/z/c": 5}
    assert open_store("bucket/objects/b").sizes() == {"": 0}
    assert open_store("bucket/object").sizes() == {}
    assert place.folders() == ["x", "y"]
    assert place.folders("y") == ["z"]
    assert place.folders("none") == []
    assert place.text("x/a.txt") == "12345"
    assert place.text("x/none") is None
    place.get({"x/a.txt": tmp_path / "new" / "a", "b": tmp_path / "new" / "b"})
    assert (tmp_path / "new" / "a").read_bytes() == b"12345"
    assert (tmp_path / "new" / "b").read_bytes() == b""
    place.remove(["b", "none", "x/a.txt"])
    assert place.sizes() == {"y/z/c": 5}
    place.check_writing()
    assert place.sizes() == {"y/z/c": 5}


def test_a_bucket_that_is_not_there_is_named(open_store, storage, tmp_path):
    place = open_store("nowhere/run")
    (tmp_path / "a").write_bytes(b"1")
    for call in (
        place.sizes,
        place.check_writing,
        place.folders,
        lambda: place.put({"a": tmp_path / "a"}),
    ):
        with pytest.raises(BucketError) as error:
            call()
        assert f"there is no bucket {storage.scheme}://nowhere; make it" in line(error)


def test_an_empty_bucket_is_a_bucket(open_store, storage, tmp_path):
    storage.files.mkdir("empty")
    place = open_store("empty/run")
    assert place.sizes() == {}
    assert place.folders() == []
    with pytest.raises(BucketError, match="is gone"):
        place.get({"a": tmp_path / "a"})


def test_an_object_that_is_gone_is_not_taken_for_a_bucket(open_store, tmp_path):
    with pytest.raises(BucketError, match=r"an object of .*bucket/gone is gone"):
        open_store("bucket/gone").get({"a": tmp_path / "a"})


@pytest.mark.parametrize(("scheme", "named"), [("s3", "AWS_PROFILE"), ("gs", "gcloud auth")])
def test_without_permission_it_says_where_credentials_are_found(scheme, named, monkeypatch):
    server = object_storage.Refusing()
    object_storage.use(monkeypatch, object_storage.variables(scheme, server.port))
    place = Store(parse(f"{scheme}://bucket/run"))
    for call, purpose in ((place.sizes, "read"), (place.check_writing, "write")):
        with pytest.raises(BucketError) as error:
            call()
        assert f"no permission to {purpose} {scheme}://bucket/run: " in line(error)
        assert named in line(error)
    server.stop()


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("ExpiredToken", 400, "no permission to read s3://bucket/run: The token is bad"),
        ("InvalidToken", 400, "s3://bucket/run cannot be used: The token is bad"),
        ("TokenRefreshRequired", 400, "s3://bucket/run cannot be used: The token is bad"),
        ("SignatureDoesNotMatch", 403, "no permission to read s3://bucket/run: The token is bad"),
    ],
)
def test_bad_credentials_are_told_at_once(code, status, told, monkeypatch):
    monkeypatch.setenv("NOISE2MAP_BUCKET_PATIENCE", "0")  # then what is tried again says so
    server = object_storage.Refusing(code, "The token is bad.", status)
    object_storage.use(monkeypatch, object_storage.variables("s3", server.port))
    with pytest.raises(BucketError) as error:
        Store(parse("s3://bucket/run")).sizes()
    assert told in line(error)
    server.stop()


def test_an_object_that_was_cut_on_its_way_is_tried_again(monkeypatch, tmp_path):
    server = object_storage.Refusing("IncompleteBody", "You did not provide enough bytes.", 400)
    object_storage.use(monkeypatch, object_storage.variables("s3", server.port))
    monkeypatch.setenv("NOISE2MAP_BUCKET_PATIENCE", "1.5")
    (tmp_path / "a").write_text("a")
    with pytest.raises(BucketError) as error:
        Store(parse("s3://bucket/run")).put({"a": tmp_path / "a"})
    assert "cannot be reached: You did not provide enough bytes; tried for 1 s" in line(error)
    server.stop()


def test_without_credentials_it_says_so_too(monkeypatch, tmp_path):
    server = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path)}
    server["AWS_SHARED_CREDENTIALS_FILE"] = str(tmp_path)
    server["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    object_storage.use(monkeypatch, server)
    with pytest.raises(BucketError, match=r"no permission to read .*Unable to locate credentials"):
        Store(parse("s3://bucket/run")).sizes()


class Lost:
    """A file system whose connection is lost for some calls."""

    def __init__(self, failures):
        self.failures, self.calls = failures, 0

    def find(self, path, **unused):
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionResetError("reset by peer\nand more")
        return {f"{path}/a": {"size": 3}}


@pytest.fixture
def lost(monkeypatch):
    """Lose the connection for some calls; time passes by itself."""
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)

    def start(failures):
        files = Lost(failures)
        monkeypatch.setattr(store, "_open", lambda scheme: (files, store._Errors((), (), ())))
        return files, now

    return start


def test_a_lost_connection_is_tried_again(lost):
    files, now = lost(4)
    assert Store(parse("s3://bucket/run")).sizes() == {"a": 3}
    assert files.calls == 5
    assert now[0] == 1 + 2 + 4 + 8


def test_but_not_for_ever(lost, monkeypatch):
    monkeypatch.setenv("NOISE2MAP_BUCKET_PATIENCE", "60")
    files, now = lost(1000)
    with pytest.raises(BucketError) as error:
        Store(parse("s3://bucket/run")).sizes()
    assert "s3://bucket/run cannot be reached: reset by peer; tried for 60 s" in line(error)
    assert now[0] == 60
    assert files.calls == 8  # after 0, 1, 3, 7, 15, 30, 45 and 60 seconds


# The library for gs:// tries for half a minute by itself.
@pytest.mark.parametrize("scheme", ["s3", pytest.param("gs", marks=pytest.mark.long)])
def test_a_server_that_comes_back_is_used(scheme, monkeypatch):
    own = object_storage.ObjectStorage(scheme)
    object_storage.use(monkeypatch, own.variables)
    place = Store(parse(f"{scheme}://bucket/run"))
    assert place.sizes() == {}
    own.stop()
    monkeypatch.setenv("NOISE2MAP_BUCKET_PATIENCE", "0")
    threading.Timer(1.0, own.start).start()
    # The new server has no bucket: but it answers.
    with pytest.raises(BucketError, match="there is no bucket"):
        place.sizes()
    own.stop()


def test_a_full_disk_is_not_the_buckets_fault(memory, address, tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        Store(address).put({"a": tmp_path / "missing"})


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "inf"])
def test_patience_is_a_number_of_seconds(given, monkeypatch, memory, address):
    monkeypatch.setenv("NOISE2MAP_BUCKET_PATIENCE", given)
    with pytest.raises(UserError, match=f"is '{given}'; expected seconds"):
        Store(address)


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    store._open.cache_clear()
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match=r"needs s3fs.*pip install 'noise2map_jax\[cloud\]'"):
        Store(parse("s3://bucket/run"))
    store._open.cache_clear()
