import pathlib

import pytest

from noise2map_jax.buckets import work_folder as rooms
from noise2map_jax.buckets.names import shown
from noise2map_jax.buckets.store import BucketError
from noise2map_jax.buckets.work_folder import check_copying, is_own_copy, work_folder
from noise2map_jax.errors import UserError


def test_a_local_folder_is_itself(tmp_path):
    with work_folder(str(tmp_path / "run")) as folder:
        assert folder == tmp_path / "run"
        assert not is_own_copy(folder)
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="file is a file; expected a folder"),
        work_folder(str(tmp_path / "file")),
    ):
        pass


def test_a_name_that_orbax_takes_for_a_pattern_is_refused_on_a_disk_and_replaced_in_a_bucket(
    memory, tmp_path
):
    with (
        pytest.raises(UserError, match=r"l\[1\] has a '\[' in its path"),
        work_folder(str(tmp_path / "l[1]")),
    ):
        raise AssertionError
    with work_folder("s3://bucket/runs/l[1]") as folder:
        assert folder.name == "l_1_"
        (folder / "config.json").write_text("{}")
    assert memory.cat_file("/bucket/runs/l[1]/config.json") == b"{}"


def test_what_is_written_to_it_is_in_the_bucket_when_it_closes(memory):
    memory.pipe_file("/bucket/runs/a/config.json", b"{}")
    with work_folder("s3://bucket/runs/a") as folder:
        assert (folder / "config.json").read_text() == "{}"
        assert is_own_copy(folder / "checkpoints" / "best")
        assert not is_own_copy(folder.parent)
        (folder / "report").mkdir()
        (folder / "report" / "index.html").write_text("a page")
        assert shown(folder / "report") == "s3://bucket/runs/a/report"
        check_copying(folder)
    assert memory.cat_file("/bucket/runs/a/report/index.html") == b"a page"
    assert not folder.parent.exists()
    assert not is_own_copy(folder)


@pytest.mark.parametrize("end", [SystemExit(75), KeyboardInterrupt(), UserError("wrong")])
def test_also_when_it_ends_early(memory, end):
    folders = []

    def run():
        with work_folder("s3://bucket/runs/a") as folder:
            folders.append(folder)
            (folder / "metrics.jsonl").write_text("lines")
            raise end

    with pytest.raises(type(end)):
        run()
    assert memory.cat_file("/bucket/runs/a/metrics.jsonl") == b"lines"
    assert not folders[0].parent.exists()


def fail(*unused, **options):
    raise ConnectionResetError("reset")


@pytest.mark.parametrize(
    ("end", "told"), [(SystemExit(75), BucketError), (UserError("wrong"), UserError)]
)
def test_when_the_last_of_it_cannot_be_copied_the_first_mistake_is_told(
    memory, monkeypatch, capsys, end, told
):
    monkeypatch.setenv("NOISE2MAP_BUCKET_PATIENCE", "0")

    def run():
        with work_folder("s3://bucket/runs/a") as folder:
            (folder / "metrics.jsonl").write_text("lines")
            memory.put_file = fail
            raise end

    with pytest.raises(told) as error:
        run()
    assert ("reset" in str(error.value)) == (told is BucketError)
    lost = "what came last is not in s3://bucket/runs/a: s3://bucket/runs/a cannot be reached"
    assert (lost in capsys.readouterr().err) == (told is not BucketError)


def test_a_bucket_that_cannot_be_written_is_refused_at_the_start(memory, monkeypatch):
    def refuse(*unused, **options):
        raise PermissionError("Access Denied")

    memory.pipe_file = refuse
    with (
        pytest.raises(BucketError, match="no permission to write s3://bucket/runs/a"),
        work_folder("s3://bucket/runs/a"),
    ):
        raise AssertionError
    assert not rooms._MIRRORS


def test_a_whole_bucket_is_no_work_folder():
    with (
        pytest.raises(UserError, match="is a whole bucket; name a folder"),
        work_folder("s3://bucket") as folder,
    ):
        raise AssertionError(pathlib.Path(folder))
