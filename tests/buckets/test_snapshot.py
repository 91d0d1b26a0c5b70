import os
import time

from noise2map_jax.buckets import snapshot


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        time.sleep(0.01)  # times of files are coarse


def test_logs_come_first_and_then_what_was_written_first(tmp_path):
    write(tmp_path, "members/a-0/trained.json", "b.json")
    write(tmp_path, "members/a-0/checkpoints/best/4.orbax-checkpoint-tmp/default/d/1")
    write(tmp_path, "a.json")
    best = tmp_path / "members" / "a-0" / "checkpoints" / "best"
    os.rename(best / "4.orbax-checkpoint-tmp", best / "4")
    time.sleep(0.01)  # times of files are coarse
    write(tmp_path, "tensorboard/events", "metrics.jsonl", "half.tmp", "checkpoints/stray")
    (tmp_path / "c.tmp").write_text("replaced")
    os.replace(tmp_path / "c.tmp", tmp_path / "b.json")
    found = list(snapshot.take(tmp_path))
    assert found == [
        "tensorboard/events",
        "metrics.jsonl",
        "members/a-0/trained.json",
        "a.json",
        "members/a-0/checkpoints/best/4",
        "b.json",
    ]


def test_only_the_last_step_of_a_folder_counts(tmp_path):
    for step in (8, 12, 4):
        write(tmp_path, f"checkpoints/latest/{step}/a", f"x/checkpoints/best/{step}/a")
    assert {*snapshot.take(tmp_path)} == {"checkpoints/latest/12", "x/checkpoints/best/12"}
    assert snapshot.newest_steps(["checkpoints/latest/9", "checkpoints/latest/10"]) == {
        "checkpoints/latest/10"
    }


def test_files_know_their_step():
    assert snapshot.step_of("checkpoints/latest/10/default/d/1") == "checkpoints/latest/10"
    assert snapshot.step_of("cohorts/a/checkpoints/latest/2") == "cohorts/a/checkpoints/latest/2"
    for name in (
        "metrics.jsonl",
        "checkpoints/latest/10.tmp/a",
        "checkpoints/other/10/a",
        "latest/1/a",
    ):
        assert snapshot.step_of(name) is None


def test_what_is_held_stays_as_it_was(tmp_path):
    run, place = tmp_path / "run", tmp_path / "place"
    write(run, "checkpoints/latest/4/default/d/1", "checkpoints/latest/4/a", "b.json", "c.jsonl")
    units = snapshot.take(run)
    held = {unit: snapshot.hold(run, unit, units[unit], place) for unit in units}
    write(run, "b.json")
    for path in (run / "checkpoints/latest/4/default/d/1", run / "checkpoints/latest/4/a"):
        path.unlink()
    (run / "b.json").write_text("new")
    assert {p.name: p.read_text() for p in held["checkpoints/latest/4"].values()} == {
        "1": "checkpoints/latest/4/default/d/1",
        "a": "checkpoints/latest/4/a",
    }
    assert held["b.json"]["b.json"].read_text() == "b.json"


def test_what_changes_meanwhile_is_not_held_but_for_logs(tmp_path):
    run = tmp_path / "run"
    write(run, "checkpoints/latest/4/a", "b.json", "c.jsonl")
    units = snapshot.take(run)
    write(run, "b.json", "c.jsonl")
    (run / "checkpoints/latest/4/a").unlink()
    held = {unit: snapshot.hold(run, unit, units[unit], tmp_path / "place") for unit in units}
    assert [unit for unit, files in held.items() if files] == ["c.jsonl"]
    assert snapshot.hold(run, "gone", 0, tmp_path / "place") == {}


def test_an_entry_that_vanishes_hides_no_other(tmp_path, monkeypatch):
    for name in ("a.json", "checkpoints/latest/10/x", "checkpoints/latest/12/x", "z.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    class Vanishing:
        def __init__(self, entry):
            self._entry, self.name = entry, entry.name

        def is_dir(self):
            return self._entry.is_dir()

        def stat(self):
            if self.name in ("a.json", "10"):
                raise FileNotFoundError(self.name)
            return self._entry.stat()

    listed = os.scandir
    monkeypatch.setattr(snapshot.os, "scandir", lambda path: map(Vanishing, listed(path)))
    assert set(snapshot.take(tmp_path)) == {"checkpoints/latest/12", "z.json"}
