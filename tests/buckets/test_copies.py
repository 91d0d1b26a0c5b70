import pytest

from noise2map_jax.buckets import copies, mirror, names


@pytest.fixture(autouse=True)
def forget():
    copies._copy.cache_clear()


def test_a_local_path_is_itself(tmp_path):
    assert copies.local(str(tmp_path)) == tmp_path


def test_of_a_run_what_reads_it_needs_is_copied_once(memory):
    for name in (
        "config.json",
        "report/threshold.json",
        "checkpoints/best/4/default/a",
        "checkpoints/best/8/default/a",
        "checkpoints/best/12/default/a",
        f"checkpoints/best/12/{mirror.MARK}",
        "checkpoints/latest/12/default/a",
        "tensorboard/events",
        "members/a-0/config.json",
    ):
        memory.pipe_file(f"/bucket/run/{name}", name.encode())
    folder = copies.local("s3://bucket/run")
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
        "config.json",
        "report/threshold.json",
        "checkpoints/best/8/default/a",
    }
    assert (folder / "report" / "threshold.json").read_text() == "report/threshold.json"
    assert folder.name == "run"
    assert copies.local("s3://bucket/run") == folder
    told = f"{folder / 'report' / 'threshold.json'} is damaged"
    assert names.shown(told) == "s3://bucket/run/report/threshold.json is damaged"
    assert str(names.address_of(folder / "report")) == "s3://bucket/run/report"
    assert names.address_of(folder.parent) is None


def test_a_file_is_copied_as_a_file(memory):
    memory.pipe_file("/bucket/weights.safetensors", b"123")
    path = copies.local("s3://bucket/weights.safetensors")
    assert path.read_bytes() == b"123"
    assert path.name == "weights.safetensors"


def test_nothing_there_is_an_empty_folder(memory):
    assert list(copies.local("s3://bucket/none").iterdir()) == []
