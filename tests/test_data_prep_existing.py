"""A dataset that is there already: kept, replaced, or told apart from the one asked for."""

import shutil

import folder_builds
import pytest
from folder_builds import error, load, run


@pytest.fixture
def source(tmp_path):
    return folder_builds.roofs(tmp_path)


def test_a_whole_dataset_is_kept_and_a_broken_one_replaced(source, capsys):
    assert run(source) == 0
    folder = source.parent / "shards/my_roofs/1.0.0"
    stamp = folder.stat().st_mtime_ns
    capsys.readouterr()
    assert run(source) == 0
    said = capsys.readouterr().out
    assert f"there already and whole, built from these files of {source}; --overwrite" in said
    assert run(source, "--on_error=skip") == 0  # The same records.
    assert folder.stat().st_mtime_ns == stamp
    lost = next(folder.glob("*-train.array_record*"))
    content = lost.read_bytes()
    lost.unlink()
    assert run(source) == 2
    assert f"{lost.name} is missing; --overwrite" in error(capsys)[0]
    lost.write_bytes(content)

    assert run(source, "--seed=1") == 2
    assert "was built with seed=0, asked is 1: --overwrite" in error(capsys)[0]
    assert run(source, "--seed=1", "--overwrite") == 0
    assert load(source)[0]["options"]["seed"] == 1

    (folder / "manifest.json").unlink()
    leftover = folder.parent / "incomplete.ABC_1.0.0"
    leftover.mkdir()
    assert run(source) == 0
    assert load(source)[0]["options"]["seed"] == 0
    assert not leftover.exists()


def test_another_source_of_the_same_name_is_told_apart(source, tmp_path, capsys):
    assert run(source) == 0
    moved = tmp_path / "copy" / source.name
    shutil.copytree(source, moved)
    again = [f"--data_dir={source.parent / 'shards'}"]
    assert run(moved, *again) == 0  # The same files.
    image = sorted(path for path in moved.rglob("*") if path.is_file())[-1]
    content = image.read_bytes()
    name = image.relative_to(moved).as_posix()
    where = source.parent / "shards/my_roofs/1.0.0"
    start = f"{where} was built from other files than --source={moved} ({name}"
    end = "): --overwrite replaces it, --name keeps both"
    for other, told in (
        (content + b"1", f" has {len(content) + 1} bytes in it and had {len(content)}"),
        (content[:-1] + b"1", " has the SHA-256 "),
        (None, " is not in it"),
    ):
        image.unlink() if other is None else image.write_bytes(other)
        capsys.readouterr()
        assert run(moved, *again) == 2
        (line,) = error(capsys)
        assert line.startswith(start + told)
        assert line.endswith(end)
    shutil.rmtree(moved)
    capsys.readouterr()
    assert run(moved, *again) == 0
    assert f"(--source={moved} is not there to compare)" in capsys.readouterr().out


def test_a_folder_that_is_no_dataset_is_left_alone(source, capsys):
    precious = source.parent / "shards/my_roofs/1.0.0/thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    assert run(source, "--overwrite") == 2
    assert "exists and holds no dataset" in error(capsys)[0]
    assert precious.exists()
