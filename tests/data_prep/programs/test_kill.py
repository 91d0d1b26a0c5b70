"""SIGKILL at random moments: what is there is whole, and the next run makes the same bytes."""

import dataclasses
import fcntl
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import prepared_datasets
import programs
import pytest
from PIL import Image

from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Unusable
from data_prep.shards import manifest, writer

# The command itself, with shards so small that many are written.
PROGRAM = """
import sys
from data_prep.shards import shard_plan, writer
from data_prep.__main__ import main
if __name__ == "__main__":
    shard_plan.SHARD_BYTES = 3 * 32 * 32 * 3 * 4
    sys.exit(main())
"""
NUM_KILLS = 4


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def wait_for_workers(folder):
    """Workers end with their parent; until then they may hold the lock's file open."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Forty scenes of image and mask."""
    folder = tmp_path_factory.mktemp("source") / "roofs"
    rng = np.random.default_rng(0)
    for i in range(40):
        for role in ("image", "mask"):
            (folder / role).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 60, 3), np.uint8)).save(folder / f"image/{i}.png")
        Image.fromarray(rng.integers(0, 2, (64, 60), np.uint8)).save(folder / f"mask/{i}.png")
    return folder


@pytest.mark.parametrize(
    ("builder", "workers", "overwrite"),
    [("folder", 1, False), ("synthetic", 2, True)],
)
def test_a_build_that_is_killed_is_finished_by_the_next(
    tmp_path, source, builder, workers, overwrite
):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    options = {
        "folder": [f"--source={source}"],
        "synthetic": ["--task=ss", "--num_scenes=30,5,5", "--scene_size=64"],
    }[builder]
    command = [sys.executable, str(program), builder, *options, "--tile_size=32", "--name=toy"]
    command.append(f"--num_workers={workers}")
    if overwrite:
        command.append("--overwrite")
    environment = {"PYTHONPATH": str(programs.ROOT), "TMPDIR": str(temporary)}

    def start(data_dir):
        return subprocess.Popen(
            [*command, f"--data_dir={tmp_path / data_dir}"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    begin = time.monotonic()
    first = start("undisturbed")
    output, _ = first.communicate(timeout=300)
    duration = time.monotonic() - begin
    assert first.returncode == 0, output
    whole = contents(tmp_path / "undisturbed/toy/1.0.0")
    assert sum("array_record" in name for name in whole) > 10
    if overwrite:  # Killed while it removes a whole dataset, too.
        shutil.copytree(tmp_path / "undisturbed", tmp_path / "killed")

    rng = random.Random(f"{builder}{workers}")
    folder = tmp_path / "killed/toy"
    num_cut = 0
    for _ in range(NUM_KILLS):
        process = start("killed")
        # Mostly within the second half: before it Python only imports.
        try:
            process.wait(timeout=duration * rng.triangular(0.2, 1.0, 0.8))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        num_cut += process.returncode == -signal.SIGKILL
        if folder.exists():
            wait_for_workers(folder)
        version = folder / manifest.VERSION
        # A whole dataset or none: nothing else may bear its name. The old one stays meanwhile.
        assert (not overwrite and not version.exists()) or contents(version) == whole
    assert num_cut > 0
    last = start("killed")
    output, _ = last.communicate(timeout=300)
    assert last.returncode == 0, output
    assert contents(folder / manifest.VERSION) == whole
    assert sorted(path.name for path in folder.iterdir()) == [".lock", manifest.VERSION]
    assert not list(temporary.iterdir()), "something was left in the temporary folder"


@pytest.mark.parametrize("step", ["first", "second", "removal"])
def test_killed_while_one_dataset_replaces_another(tmp_path, monkeypatch, step):
    """At each moment the old one or the new one is there, or comes back with the next build."""
    _, folder = prepared_datasets.write(tmp_path, monkeypatch)
    whole = contents(folder)
    rename, remove = pathlib.Path.rename, shutil.rmtree

    def killed_rename(path, target):
        if (step, path) == ("first", folder) or (step == "second" and target == folder):
            raise KeyboardInterrupt
        return rename(path, target)

    def killed_removal(doomed, *arguments, **options):
        remove(doomed, *arguments, **options)
        if "replaced" in str(doomed):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", killed_rename)
        if step == "removal":
            patch.setattr(writer.shutil, "rmtree", killed_removal)
        with pytest.raises(KeyboardInterrupt):
            writer.write(prepared_datasets.plan(), tmp_path, num_workers=1)
    assert folder.exists() == (step != "second")
    with pytest.raises(UserError, match="is cut off"):  # The next build fails: the old one is back.
        writer.write(failing_plan(tmp_path), tmp_path, num_workers=1)
    assert contents(folder) == whole
    writer.write(prepared_datasets.plan(), tmp_path, num_workers=1)
    assert contents(folder) == whole
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", manifest.VERSION]


def test_what_was_left_by_a_kill_at_the_very_end_goes_with_the_next_build(tmp_path):
    """The dataset is in its place and is kept; unless another build holds the lock."""
    arguments = ["synthetic", "--task=ss", "--num_scenes=2,1,1", "--scene_size=32", "--name=toy"]
    build = [*arguments, "--tile_size=32", "--num_workers=1", f"--data_dir={tmp_path}"]
    programs.data_prep(*build)
    folder = tmp_path / "toy" / manifest.VERSION
    whole, leftover = contents(folder), folder.with_name(f"incomplete.1_{manifest.VERSION}")
    (leftover / "toy").mkdir(parents=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        programs.data_prep(*build)
        assert leftover.exists()
    programs.data_prep(*build)
    assert not leftover.exists()
    assert contents(folder) == whole


def cut_off(scene):
    raise Unusable({scene.files["image"]: "is cut off"})


def failing_plan(folder):
    return dataclasses.replace(prepared_datasets.plan(source=folder), load=cut_off)


def test_a_build_that_fails_leaves_the_old_dataset(tmp_path, monkeypatch):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch)
    whole = contents(folder)
    with pytest.raises(UserError, match="is cut off"):
        writer.write(failing_plan(tmp_path), tmp_path, num_workers=1)
    assert contents(folder) == whole
