"""A dataset that is there already: kept, replaced, or told apart from the one asked for."""

import json
import shutil

import folder_builds
import pytest
from folder_builds import error, load, run

from data_prep.__main__ import main


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
    assert f"is there and complete, built from these files of {source}; --overwrite" in said
    assert run(source, "--on_error=skip") == 0  # The same records.
    assert folder.stat().st_mtime_ns == stamp
    lost = next(folder.glob("*-train.array_record*"))
    content = lost.read_bytes()
    lost.unlink()
    assert run(source) == 2
    assert f"{lost.name} is missing; --overwrite" in error(capsys)[0]
    lost.write_bytes(content)

    assert run(source, "--seed=1") == 2
    assert "was built with seed=0, but 1 was asked for: --overwrite" in error(capsys)[0]
    assert run(source, "--seed=1", "--overwrite") == 0
    assert load(source)[0]["options"]["seed"] == 1

    (folder / "manifest.json").unlink()
    leftover = folder.parent / "incomplete.ABC_1.0.0"
    leftover.mkdir()
    assert run(source) == 0
    assert load(source)[0]["options"]["seed"] == 0
    assert not leftover.exists()


def test_black_edges_of_an_earlier_version_are_told(source, capsys):
    def said(*options):
        capsys.readouterr()
        assert run(source, *options) == 0
        return capsys.readouterr().out

    assert "they are black" not in said()
    file = source.parent / "shards/my_roofs/1.0.0/manifest.json"
    manifest = json.loads(file.read_text())
    assert manifest.pop("edges") == "mirrored"
    file.write_text(json.dumps(manifest))
    ignored = manifest["splits"]["train"]["ignore_pixels"]
    assert ignored
    (line,) = (line for line in said().splitlines() if "they are black" in line)
    assert line.startswith("warning: an earlier version built it")
    assert f"{ignored:,} in train" in line
    assert "they are black" not in said("--overwrite")
    for entry in manifest["splits"].values():  # Tiles that images fill hold no edge.
        entry["ignore_pixels"] = 0
    file.write_text(json.dumps(manifest))
    assert "they are black" not in said()


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
        (content + b"1", f" has {len(content) + 1} bytes and had {len(content)}"),
        (content[:-1] + b"1", " has the SHA-256 "),
        (None, " is missing"),
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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.pop("source"), "source is None, not str"),
        (lambda m: m.update(options=["seed"]), "options is ['seed'], not dict"),
        (lambda m: m.update(task="sss"), "task is 'sss', not one of ss, cd, denoise"),
        (lambda m: m.update(dtype="float32"), "dtype is 'float32', not one of uint8, uint16"),
        (lambda m: m.update(tile_size=0), "tile_size is 0, not above 0"),
        (lambda m: m.update(classes="building"), "classes is 'building', not list"),
        (lambda m: m.update(rejected=["a.png"]), "rejected[0] is 'a.png', not dict"),
        (lambda m: m.update(rejected=[{"path": "a"}]), "rejected[0].reason is None, not str"),
        (lambda m: m["splits"].update(val=3), "splits.val is 3, not dict"),
        (lambda m: m["splits"]["val"].update(num_scenes="1"), "splits.val.num_scenes is '1', not"),
        (lambda m: m["splits"]["val"].update(num_records=True), "num_records is True, not int"),
        (lambda m: m["splits"]["val"].update(class_pixels=[1, "2"]), "class_pixels[1] is '2', not"),
        (lambda m: m["splits"]["val"].update(class_pixels=[1]), "class_pixels of 1 classes, not 2"),
        (lambda m: m["files"].update({"image/0.png": 4}), "files.image/0.png is 4, not str"),
        (lambda m: m["sizes"].update({"image/0.png": "4"}), "sizes.image/0.png is '4', not int"),
        (lambda m: m.update(shards=None), "shards is None, not dict"),
        (lambda m: m.pop("format"), "written in format 1, but this version reads format 2"),
        (lambda m: m.pop("place_rule"), "place_rule is None, not str"),
        (lambda m: m["splits"]["val"]["places"].pop(), "splits.val has 0 places of 1 scenes"),
    ],
)
def test_a_manifest_edited_by_hand_is_one_line(source, capsys, change, told):
    assert run(source) == 0
    folder = source.parent / "shards/my_roofs/1.0.0"
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    for command in (
        lambda: run(source),
        lambda: main(["verify", str(folder)]),
        lambda: main(["describe", str(folder)]),
    ):
        capsys.readouterr()
        assert command() == 2
        (line,) = error(capsys)
        assert line.startswith(f"{path}: ")
        assert told in line
        assert line.endswith("; --overwrite builds again")


def test_a_folder_that_is_no_dataset_is_left_alone(source, capsys):
    precious = source.parent / "shards/my_roofs/1.0.0/thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    assert run(source, "--overwrite") == 2
    assert "exists but holds no dataset" in error(capsys)[0]
    assert precious.exists()
