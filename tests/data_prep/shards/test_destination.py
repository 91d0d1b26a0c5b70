"""Whether a dataset can be written is known before files are read."""

import shutil

import folder_builds
import pytest

from data_prep.__main__ import main
from data_prep.builders import folder
from data_prep.shards import destination


@pytest.fixture
def source(tmp_path):
    return folder_builds.roofs(tmp_path)


@pytest.mark.parametrize(
    ("data_dir", "words"),
    [("file", "is a file; expected a folder"), ("/proc/data", "cannot be written: ")],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    source, tmp_path, capsys, monkeypatch, data_dir, words
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(folder, "plan", None)  # nothing is read
    assert main(["folder", f"--source={source}", f"--data_dir={tmp_path / data_dir}"]) == 2
    assert words in capsys.readouterr().err


def test_a_bucket_is_refused(source, capsys, monkeypatch):
    monkeypatch.setattr(folder, "plan", None)  # nothing is read
    assert main(["folder", f"--source={source}", "--data_dir=s3://bucket/data"]) == 2
    assert "--data_dir begins with s3://, but datasets are written to a local folder" in (
        capsys.readouterr().err
    )


def test_too_little_space_is_said_with_both_numbers(source, capsys, monkeypatch):
    usage = shutil.disk_usage(source)._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert folder_builds.run(source) == 2
    # 8 scenes of 4 records of 32 x 32 pixels of 3 bands and a mask, at three quarters.
    assert "has 0.00 GB free, and 32 records of 32 x 32 pixels take about 0.00 GB" in (
        capsys.readouterr().err
    )
    exact = shutil.disk_usage(source)._replace(free=32 * 32 * 32 * 4 * 3 // 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: exact)
    assert folder_builds.run(source) == 0


def test_the_folder_is_made(tmp_path):
    destination.check_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()
    assert not list((tmp_path / "a/b").iterdir())
