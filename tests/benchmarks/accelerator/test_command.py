"""How the benchmark spends its time, and what it keeps for the next call."""

import argparse
import json

import pytest

from benchmarks.accelerator import command, processes, record
from benchmarks.accelerator.parts import PARTS
from benchmarks.accelerator.processes import FAILED, MEASURED, NO_TIME, NOT_POSSIBLE, Ending
from noise2map_jax.errors import UserError


class Machine:
    """In place of the processes: parts that end as they are told to, after some seconds."""

    def __init__(self, monkeypatch, tmp_path):
        self.now, self.jax, self.endings, self.jobs = 0.0, "1.0", {}, {}
        self.path = tmp_path / "found.json"
        monkeypatch.setattr(processes, "call", self._call)
        monkeypatch.setattr(command.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(command, "write", lambda content, path: path.write_text("page"))

    def _call(self, function, argument, deadline, receive):
        if function is command.describe:
            about = {"device": "1 x quick", "versions": {}}
            of = {"jax": self.jax}
            told = {"platform": "gpu", "kind": "Quick 1", "machine": about, "circumstances": of}
            receive(told)
            return Ending(MEASURED)
        name, job = argument
        self.jobs[name] = (job, deadline)
        ending, seconds = self.endings.get(name, (Ending(MEASURED), 1.0))
        receive({"number": job.found.get("number", 0) + 1})
        if self.now + seconds > deadline:
            ending, seconds = Ending(NO_TIME, "stopped"), deadline - self.now
        self.now += seconds
        return ending

    def run(self, minutes=8.0, **options):
        self.jobs.clear()
        given = {"output": str(self.path), "size": "", "data_dir": "", "dataset": ""}
        status = command.run(argparse.Namespace(minutes=minutes, **(given | options)))
        return status, json.loads(self.path.read_text())


@pytest.fixture
def quick(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def states(content):
    return {name: entry["state"] for name, entry in content["parts"].items()}


def test_a_part_that_fails_is_told_and_the_others_go_on(quick, capsys):
    quick.endings["parity"] = Ending(FAILED, "ValueError: no"), 1.0
    status, content = quick.run()
    assert status == 1
    assert states(content) == {n: FAILED if n == "parity" else MEASURED for n in PARTS}
    assert "Parity           failed: ValueError: no" in capsys.readouterr().out
    quick.endings.clear()  # as if it were mended: it alone is measured again
    status, content = quick.run()
    assert (status, list(quick.jobs)) == (0, ["parity"])
    assert set(states(content).values()) == {MEASURED}


def test_time_is_shared_by_weight_and_what_has_none_is_told(quick):
    quick.endings = {name: (Ending(MEASURED), 1000.0) for name in PARTS}
    _, content = quick.run(minutes=1)
    weights = [part.weight for part in PARTS.values()]
    first, stopped = quick.jobs["peaks"]
    assert first.deadline == 60 * weights[0] / sum(weights)
    assert stopped == command.PATIENCE * first.deadline
    assert quick.now <= 60
    assert states(content) == dict.fromkeys(PARTS, NO_TIME)
    assert all(entry["reason"] for entry in content["parts"].values())
    # Time that a part does not need is for the others.
    quick.now, quick.endings = 0.0, {}
    quick.path.unlink()
    quick.run(minutes=1)
    assert quick.jobs["short_training"][0].deadline == 60.0


def test_a_second_call_goes_on_with_what_was_found(quick):
    quick.endings["training"] = Ending(NO_TIME, "batches of 64 and more"), 1.0
    quick.endings["torch"] = Ending(NOT_POSSIBLE, "PyTorch is not installed"), 1.0
    quick.run()
    quick.endings["training"] = Ending(MEASURED), 1.0
    status, content = quick.run()
    assert (status, list(quick.jobs)) == (0, ["training"])
    job, _ = quick.jobs["training"]
    assert job.found == {"number": 1}
    assert job.results["peaks"] == {"number": 1}
    assert content["parts"]["training"]["found"] == {"number": 2}


def test_results_of_other_versions_are_begun_anew_and_it_is_told(quick, capsys):
    quick.run()
    quick.jax = "2.0"
    quick.run()
    assert list(quick.jobs) == list(PARTS)
    assert "is begun anew: jax was 1.0, is 2.0" in capsys.readouterr().out


def test_other_data_concern_the_parts_that_read_them(quick, monkeypatch, capsys, thin_data):
    quick.run()
    quick.run(data_dir=str(thin_data), dataset="thin_ss")
    assert list(quick.jobs) == [name for name, part in PARTS.items() if part.reads_data]
    assert all(job.found == {} for job, _ in quick.jobs.values())
    assert "its data were drawn scenes, are thin_ss " in capsys.readouterr().out
    assert quick.run(data_dir=str(thin_data), dataset="thin_ss")[0] == 0
    assert quick.jobs == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "x"}, "--dataset=x lies in no folder; name it with --data_dir"),
        ({"data_dir": "/nowhere"}, "--data_dir=/nowhere holds no dataset of data_prep"),
        ({"data_dir": "s3://bucket/data"}, "is an address; copy the dataset to a disk first"),
        ({"minutes": 0.0}, "--minutes is 0.0; expected a positive number"),
        ({"minutes": float("nan")}, "--minutes is nan"),
        ({"output": "page.html"}, "--output=page.html does not end in .json"),
        ({"output": "/proc/nope/a.json"}, "/proc/nope/a.json cannot be written"),
    ],
)
def test_what_cannot_be_measured_is_one_line(quick, options, said, capsys):
    given = {"minutes": 1, "output": "", "size": "", "data_dir": "", "dataset": ""}
    assert command.run(argparse.Namespace(**(given | options))) == 2
    assert said in capsys.readouterr().err


def test_two_datasets_are_to_be_chosen_among(quick, thin_data, capsys):
    given = {"minutes": 1, "output": "", "size": "", "dataset": ""}
    assert command.run(argparse.Namespace(data_dir=str(thin_data), **given)) == 2
    assert "holds thin_cd, thin_ss; choose one with --dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ['{"benchmark": "network"}', '{"benchmark": "acc', '{"benchmark": "accelerator"}', "[]"]
)
def test_a_file_of_something_else_is_not_overwritten(text, tmp_path):
    path = tmp_path / "found.json"
    path.write_text(text)
    with pytest.raises(UserError, match="holds no whole results of this benchmark"):
        record.Record(path, {}, [])
    assert path.read_text() == text


def test_parts_that_lack_something_are_no_results(tmp_path):
    path = tmp_path / "found.json"
    path.write_text('{"benchmark": "accelerator", "parts": {"peaks": {"state": "measured"}}}')
    with pytest.raises(UserError, match="delete it or name another"):
        record.Record(path, {}, ["peaks"])


def test_results_are_named_after_the_device():
    assert record.file_name("NVIDIA H200") == "accelerator_nvidia_h200.json"
    assert record.file_name("TPU v5 lite") == "accelerator_tpu_v5_lite.json"
