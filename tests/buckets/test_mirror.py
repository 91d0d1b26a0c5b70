"""The copy in the bucket: complete, in order, and whole wherever the process is killed."""

import json
import os
import shutil
import time

import memory_storage
import pytest

from noise2map_jax.buckets import mirror, snapshot
from noise2map_jax.buckets.mirror import Mirror
from noise2map_jax.buckets.store import BucketError


@pytest.fixture(autouse=True)
def no_thread(monkeypatch):
    """Copy when a test says so."""
    monkeypatch.setattr(mirror, "SCAN_SECONDS", 1000.0)


def opened(address, tmp_path, name, *, writes=True):
    folder = tmp_path / name / "run"
    folder.mkdir(parents=True)
    return Mirror(address, folder, writes=writes)


def write(folder, name, text="x"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    time.sleep(0.002)  # times of files are coarse


def save_step(folder, kind, step, text):
    """As Orbax does: write into another folder, rename it, then remove the step before."""
    parent = folder / "checkpoints" / kind
    part = parent / f"{step}.orbax-checkpoint-tmp"
    own = f"default/d/{folder.parent.name}"  # names of data differ from attempt to attempt
    for name in ("_CHECKPOINT_METADATA", "default/d/0a1b", own, "commit_success.txt"):
        write(part, name, f"{text} {name}")
    os.rename(part, parent / str(step))
    time.sleep(0.002)
    for other in list(parent.iterdir()):
        if other.name != str(step):
            shutil.rmtree(other)


def train_to(folder, step):
    """What a run writes between two checkpoints."""
    if step == 4:
        write(folder, "config.json", "{}")
    # A run that resumes drops lines of later steps, and does not save a step again.
    lines = [json.dumps({"step": number}) + "\n" for number in range(1, step + 1)]
    (folder / "metrics.tmp").write_text("".join(lines[: step - 4]))
    os.replace(folder / "metrics.tmp", folder / "metrics.jsonl")
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(lines[step - 4 :])
    if step != 12 and not (folder / "checkpoints" / "best" / str(step)).is_dir():
        save_step(folder, "best", step, f"best {step}")
    save_step(folder, "latest", step, f"latest {step}")
    write(folder, "report/index.html", f"of {step}")


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_is_written_here_is_fetched_there(memory, address, tmp_path):
    first = opened(address, tmp_path, "first")
    for step in (4, 8, 12):
        train_to(first.folder, step)
        first.push()
    write(first.folder, "notes.tmp")
    (first.folder / "checkpoints" / "latest" / "16.orbax-checkpoint-tmp").mkdir()
    write(first.folder, "checkpoints/latest/16.orbax-checkpoint-tmp/half")
    first.close()
    again = opened(address, tmp_path, "again")
    expected = content(first.folder)
    del expected["notes.tmp"], expected["checkpoints/latest/16.orbax-checkpoint-tmp/half"]
    assert content(again.folder) == expected
    assert {"checkpoints/latest/12/default/d/0a1b", "checkpoints/best/8/default/d/0a1b"} < {
        *expected
    }
    # Neither earlier checkpoints nor marks stay in the bucket.
    there = {name.removeprefix("bucket/runs/a/") for name in memory.find("/bucket/runs/a")}
    assert there == {*expected, mirror.WRITER}


def test_only_what_changed_is_copied(memory, address, tmp_path):
    first = opened(address, tmp_path, "first")
    train_to(first.folder, 4)
    first.push()
    memory.left = 0
    first.push()  # writes nothing
    memory.left = 1
    write(first.folder, "report/index.html", "new")
    first.push()
    assert memory.cat_file("/bucket/runs/a/report/index.html") == b"new"
    memory.left = 2
    (first.folder / "report/index.html").unlink()
    first.push()
    assert not memory.exists("/bucket/runs/a/report/index.html")


def test_a_process_that_only_reads_gets_no_checkpoints_and_writes_nothing(
    memory, address, tmp_path
):
    first = opened(address, tmp_path, "first")
    train_to(first.folder, 4)
    first.close()
    memory.left = 0
    other = opened(address, tmp_path, "other", writes=False)
    assert {*content(other.folder)} == {"config.json", "metrics.jsonl", "report/index.html"}
    write(other.folder, "mine")
    other.close()


def check_can_go_on(folder):
    """Whatever the newest checkpoint is, all that is older is there, too."""
    found = content(folder)
    steps = {snapshot.step_of(name) for name in found} - {None}
    latest = [int(step.rpartition("/")[2]) for step in steps if "/latest/" in step]
    if not latest:
        return 0
    (step,) = latest
    logged = [json.loads(line)["step"] for line in found["metrics.jsonl"].splitlines()]
    assert logged[:step] == list(range(1, step + 1))
    assert "config.json" in found
    (best,) = [int(step.rpartition("/")[2]) for step in steps if "/best/" in step]
    assert best >= min(step, 8)
    for kind, number in (("latest", step), ("best", best)):
        for name in ("_CHECKPOINT_METADATA", "default/d/0a1b", "commit_success.txt"):
            assert found[f"checkpoints/{kind}/{number}/{name}"] == f"{kind} {number} {name}"
    return step


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_killed_at_any_write_there_is_a_state_to_go_on_from(stride, memory, address, tmp_path):
    reached = []
    for writes in range(0, 1000, stride):
        memory.store.clear()
        memory.left = None
        memory.pipe_file("/bucket/other", b"")
        first = opened(address, tmp_path, f"first-{writes}")
        memory.left, ended = writes, False
        try:
            for step in (4, 8, 12):
                train_to(first.folder, step)
                first.push()
        except memory_storage.Cut:
            ended = True
        memory.left = None
        again = opened(address, tmp_path, f"again-{writes}")
        step = check_can_go_on(again.folder)
        # What the copy that was cut off left behind does no harm to the same step, and goes.
        if step < 12:
            train_to(again.folder, step + 4)
            again.push()
            last = opened(address, tmp_path, f"last-{writes}")
            assert check_can_go_on(last.folder) == step + 4
            data = last.folder / "checkpoints" / "latest" / str(step + 4) / "default" / "d"
            assert {path.name for path in data.iterdir()} == {"0a1b", f"again-{writes}"}
            assert not any(name.endswith(mirror.MARK) for name in memory.find("/bucket/runs/a"))
        reached.append(step)
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
        if not ended:
            break
    assert reached == sorted(reached)
    assert {*reached} == {0, 4, 8, 12}


def test_a_checkpoint_that_is_removed_while_it_is_copied_is_whole_in_the_bucket(
    memory, address, tmp_path
):
    first = opened(address, tmp_path, "first")
    train_to(first.folder, 4)
    put_file = memory.put_file

    def put_and_train_on(here, there, **options):
        memory.put_file = put_file
        train_to(first.folder, 8)
        put_file(here, there, **options)

    memory.put_file = put_and_train_on
    first.push()
    again = opened(address, tmp_path, "again")
    assert check_can_go_on(again.folder) == 4
    first.push()
    assert check_can_go_on(opened(address, tmp_path, "more").folder) == 8


def test_copying_goes_on_by_itself_and_says_when_it_cannot(memory, address, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "SCAN_SECONDS", 0.01)
    monkeypatch.setenv("NOISE2MAP_BUCKET_PATIENCE", "0")
    first = opened(address, tmp_path, "first")
    train_to(first.folder, 4)
    wait_until(lambda: memory.exists("/bucket/runs/a/checkpoints/latest/4/commit_success.txt"))
    wait_until(lambda: first._sent == snapshot.take(first.folder))
    # Logs alone are copied less often.
    with (first.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5}\n')
    time.sleep(0.1)
    assert b'"step": 5' not in memory.cat_file("/bucket/runs/a/metrics.jsonl")
    first.check()

    def put_file(*unused, **options):
        raise ConnectionResetError("reset")

    memory.put_file = put_file
    write(first.folder, "report/index.html", "new")
    wait_until(lambda: not first._thread.is_alive())
    for call in (first.check, first.close):
        with pytest.raises(BucketError, match="s3://bucket/runs/a cannot be reached: reset"):
            call()


def test_at_the_end_everything_is_there_logs_as_well(memory, address, tmp_path):
    first = opened(address, tmp_path, "first")
    write(first.folder, "tensorboard/events.out", "1")
    first.close()
    assert memory.cat_file("/bucket/runs/a/tensorboard/events.out") == b"1"


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_only_checkpoint_stays_when_a_look_misses_its_successor(
    memory, address, tmp_path, monkeypatch
):
    """Orbax removes the old one while the folder is listed, and the new one is not in the list."""
    mirror_of_run = opened(address, tmp_path, "a")
    save_step(mirror_of_run.folder, "latest", 4, "old")
    assert mirror_of_run.push()
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "take", lambda folder: {})
        mirror_of_run.push()
    step = "checkpoints/latest/4"
    assert memory.exists(f"/bucket/runs/a/{step}/commit_success.txt")
    save_step(mirror_of_run.folder, "latest", 8, "new")
    assert mirror_of_run.push()
    names = mirror_of_run._store.sizes()
    assert not any(name.startswith(f"{step}/") for name in names)
    assert any(name.startswith("checkpoints/latest/8/") for name in names)


def test_of_two_runs_at_one_address_the_earlier_ends(memory, address, tmp_path):
    first, second = (opened(address, tmp_path, name) for name in ("a", "b"))
    for run in (first, second):
        save_step(run.folder, "latest", 4, "state")
        assert run.push()
    save_step(first.folder, "latest", 8, "state")
    with pytest.raises(BucketError, match="another run saves checkpoints in s3://bucket/runs/a"):
        first.push()
    save_step(second.folder, "latest", 8, "of the second")
    assert second.push()
    third = opened(address, tmp_path, "c")
    text = (third.folder / "checkpoints/latest/8/default/d/0a1b").read_text()
    assert text.startswith("of the second")
    assert not (third.folder / mirror.WRITER).exists()


def test_what_saves_no_checkpoint_does_not_end_a_training(memory, address, tmp_path):
    training = opened(address, tmp_path, "a")
    save_step(training.folder, "best", 4, "best")
    assert training.push()
    evaluation = opened(address, tmp_path, "b")
    write(evaluation.folder, "report/scores_test.json", "{}")
    evaluation.close()
    save_step(training.folder, "best", 8, "best")
    assert training.push()
    names = {name.removeprefix("bucket/runs/a/") for name in memory.find("/bucket/runs/a")}
    assert {"report/scores_test.json", "checkpoints/best/8/commit_success.txt"} < names
